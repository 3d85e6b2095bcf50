"use strict";
(() => {
  const table = document.querySelector(".calls");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  function sort(column) {
    const head = heads[column];
    const numbers = rows[0] && rows[0].cells[column].dataset.value !== undefined;
    const before = head.getAttribute("aria-sort");
    // Of numbers the largest come first, of words the first letters.
    const down = before ? before === "ascending" : numbers;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    rows.sort((one, other) => {
      const [left, right] = [value(one, column), value(other, column)];
      const order = numbers ? left - right : left.localeCompare(right);
      return down ? -order : order;
    });
    body.append(...rows);
  }
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));

  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  function narrow() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let visible = 0;
    let calls = 0;
    rows.forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) {
        visible += 1;
        calls += Number(row.dataset.count);
      }
    });
    shown.textContent = `${visible} of ${rows.length} rows, ${calls.toLocaleString("en")} calls`;
  }
  filter.addEventListener("input", narrow);
  narrow();
})();
