// Light or dark: the system's setting or the user's choice.

const choice = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");

// Return the theme in use: "light" or "dark".
export const theme = () => `${choice.value || (dark.matches ? "dark" : "light")}`;

function stored() {
  try {
    return localStorage.getItem("theme") ?? "";
  } catch {
    return ""; // storage is not available
  }
}

function store(value) {
  try {
    localStorage.setItem("theme", value);
  } catch {
    // the choice lasts until the next reload
  }
}

// Apply the theme and call back when the colours change.
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
