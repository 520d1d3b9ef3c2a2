// The scoreboard's filter. The table is complete without it; this only hides rows.
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector(".kx-scoreboard");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const form = document.createElement("form");
  form.className = "kx-filter";
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Filter the claims");
  const shown = document.createElement("output");
  const fields = ["verdict", "chapter", "kind"].map((name) => {
    const select = document.createElement("select");
    select.name = name;
    const values = [...new Set(rows.map((row) => row.dataset[name]))];
    select.append(new Option("all", ""), ...values.map((value) => new Option(value, value)));
    return select;
  });
  const words = document.createElement("input");
  words.type = "search";
  words.name = "words";
  for (const field of [...fields, words]) {
    const label = document.createElement("label");
    label.append(field.name[0].toUpperCase() + field.name.slice(1), field);
    form.append(label);
  }
  form.append(shown);
  const apply = () => {
    const wanted = words.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const fits = fields.every((field) => !field.value || row.dataset[field.name] === field.value);
      row.hidden = !(fits && row.textContent.toLowerCase().includes(wanted));
      count += !row.hidden;
    }
    shown.textContent = `${count} of ${rows.length} claims`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  table.closest(".kx-scroll").before(form);
  apply();
});
