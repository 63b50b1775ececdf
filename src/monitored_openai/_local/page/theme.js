// Light or dark: as the system has it, or as chosen.

const choice = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");

// What the colours depend on.
export const theme = () => `${choice.value || (dark.matches ? "dark" : "light")}`;

function stored() {
  try {
    return localStorage.getItem("theme") ?? "";
  } catch {
    return ""; // no storage is allowed here
  }
}

function store(value) {
  try {
    localStorage.setItem("theme", value);
  } catch {
    // it holds until the next reload, then
  }
}

// Keep to it, and call when the colours are others.
export function follow(changed) {
  const dress = () => {
    document.documentElement.dataset.theme = choice.value;
    changed();
  };
  choice.value = stored();
  choice.addEventListener("change", () => (store(choice.value), dress()));
  dark.addEventListener("change", dress);
  dress();
}
