// Draws the dashboard in `window.DRAWN`: its variables, its rows, and its panels in Grafana's grid.
import { createTheme, dateTime, ThemeContext } from "@grafana/data";
import { PanelChrome } from "@grafana/ui";
import { Component } from "react";
import { createRoot } from "react-dom/client";
import { VIEWS } from "./views.jsx";

const GAP = 8, CELL = 30, MARGIN = 16;
const { board, answers, values, seconds, width } = window.DRAWN;
const theme = createTheme({ colors: { mode: "light" } });
const range = { from: dateTime(seconds[0] * 1000), to: dateTime(seconds[1] * 1000), raw: { from: "", to: "" } };
const column = (width - 2 * MARGIN + GAP) / 24;
const filled = (text) => text.replace(/\$(\w+)/g, (_, name) => values[name] ?? name);

/** Shows the error of a panel that cannot be drawn, without which the page would be empty. */
class Guard extends Component {
  state = { error: null };
  static getDerivedStateFromError(error) { return { error }; }
  render() { return this.state.error ? <p className="error">{this.state.error.stack.slice(0, 300)}</p> : this.props.children; }
}

function Panel({ panel }) {
  const { x, y, w, h } = panel.gridPos;
  const size = { width: w * column - GAP, height: h * (CELL + GAP) - GAP };
  const place = { position: "absolute", left: x * column, top: y * (CELL + GAP), ...size };
  const title = filled(panel.title);
  if (panel.type === "row") return <div className="row" style={place}>⌄ {title}</div>;
  const View = VIEWS[panel.type];
  return <section className="panel" data-title={title} data-type={panel.type} style={place}>
    <PanelChrome title={title} {...size}>
      {(inner, high) => <Guard><View panel={panel} answers={answers[panel.id]} theme={theme} range={range} width={inner} height={high} /></Guard>}
    </PanelChrome>
  </section>;
}

function Board() {
  const last = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  return <main style={{ margin: MARGIN }}>
    <h1>{board.title}</h1>
    <div className="variables">{board.templating.list.map(({ name, label }) => <span key={name}><b>{label}</b>{values[name] || "\u00a0"}</span>)}</div>
    <div style={{ position: "relative", height: last * (CELL + GAP) }}>{board.panels.map((panel) => <Panel key={panel.id} panel={panel} />)}</div>
  </main>;
}

createRoot(document.body.appendChild(document.createElement("div"))).render(
  <ThemeContext.Provider value={theme}><Board /></ThemeContext.Provider>,
);
