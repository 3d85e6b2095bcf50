"use strict";
(() => {
  const DAY = 86400000;
  const ROW = 18;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const read = (element) => JSON.parse(element.textContent);
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const utc = (text) => Date.parse(text.replace(" ", "T") + (text.length > 10 ? "Z" : "T00:00:00Z"));
  const coarse = matchMedia("(pointer: coarse)").matches;

  function theme(layout) {
    const axis = (given) => Object.assign({}, given, {
      gridcolor: color("--grid"), linecolor: color("--line"), zerolinecolor: color("--line"),
      automargin: false,
    });
    return Object.assign({}, layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: color("--text"), size: 12, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: color("--paper"), bordercolor: color("--soft"), font: { color: color("--text") }, align: "left" },
      xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
    });
  }

  // A label hangs at its marker like a flag; one that another's pole would cross goes up a row.
  function placeLabels(layout, width, height) {
    const labels = layout.annotations || [];
    const [from, to] = layout.xaxis.range.map(utc);
    const room = width - layout.margin.l - layout.margin.r;
    const at = (label) => (utc(label.x) - from) / (to - from) * room;
    const rows = [];
    for (let index = labels.length - 1; index >= 0; index--) {
      const label = labels[index];
      const x = at(label);
      label.visible = x >= 0 && x <= room;
      // What would leave the picture at the right hangs to the left of its marker.
      const length = label.text.length * 7.5 + 6;
      const left = x + length > room + layout.margin.r;
      label.xanchor = left ? "right" : "left";
      const [start, end] = left ? [x - length, x] : [x, x + length];
      let row = 0;
      for (let other = index + 1; other < labels.length; other++) {
        const [otherStart, otherEnd, otherRow] = rows[other];
        if (labels[other].visible && otherStart < end && start < otherEnd) row = Math.max(row, otherRow + 1);
      }
      rows[index] = [start, end, row];
      label.yshift = row * ROW;
    }
    const used = rows.filter((_, index) => labels[index].visible).map((place) => place[2] + 1);
    layout.margin.t = 8 + ROW * Math.max(1, ...used);
    const tall = height - layout.margin.t - layout.margin.b;
    layout.shapes.forEach((pole, index) => { pole.y1 = 1 + (rows[index][2] * ROW + 15) / tall; });
  }

  class Graph {
    constructor(element, runs) {
      this.element = element;
      this.runs = runs;
      this.plot = element.querySelector(".plot");
      this.reading = element.querySelector(".reading");
      this.figure = read(element.querySelector("script.figure"));
      this.all = this.figure.layout.xaxis.range.slice();
      this.drawn = false;
      this.chosen = -1;
      const half = this.figure.data.length / 2;
      this.figure.data.forEach((trace, index) => {
        if (index < half) {
          trace.text = trace.customdata.map((run) => plain(runs[run]).replaceAll("/", "/<br>"));
          trace.hovertemplate = "<b>%{y:.6~g}</b><br>%{x|%Y-%m-%d %H:%M} UTC<br>%{text}<extra></extra>";
        } else {
          trace.hovertemplate = "<b>%{y:.6~g}</b> on average<br>week of %{x|%Y-%m-%d}, %{customdata} runs<extra></extra>";
        }
      });
      element.querySelectorAll("[data-trace]").forEach((box) => {
        box.addEventListener("change", () => this.show(Number(box.dataset.trace), box.checked));
      });
      element.querySelectorAll("[data-zoom]").forEach((button) => {
        button.addEventListener("click", () => this.zoom(button.dataset.zoom));
      });
      element.querySelector(".each").addEventListener("toggle", () => this.list(), { once: true });
      this.plot.addEventListener("keydown", (event) => this.key(event));
    }

    layout() {
      const layout = theme(this.figure.layout);
      layout.dragmode = coarse ? false : "zoom";
      layout.margin = Object.assign({}, layout.margin);
      layout.annotations = (layout.annotations || []).map((label) => Object.assign({}, label));
      layout.shapes = (layout.shapes || []).map((pole) => Object.assign({}, pole));
      placeLabels(layout, this.plot.clientWidth, this.plot.clientHeight);
      return layout;
    }

    draw() {
      this.drawn = true;
      const first = !this.plot.data;
      Plotly.react(this.plot, this.figure.data, this.layout(), this.figure.config);
      if (first) {
        this.plot.on("plotly_relayout", (change) => {
          const from = change["xaxis.range[0]"];
          const reset = change["xaxis.autorange"];
          if (from === undefined && !reset) return;
          this.range(reset ? this.all : [from, change["xaxis.range[1]"]]);
        });
      }
    }

    range(range) {
      this.figure.layout.xaxis.range = range.slice();
      if (range === this.all) this.figure.layout.yaxis.autorange = false;
      this.draw();
    }

    show(trace, visible) {
      this.figure.data[trace].visible = visible;
      this.draw();
    }

    zoom(how) {
      let [from, to] = this.figure.layout.xaxis.range.map(utc);
      const width = to - from;
      if (how === "in" && width > 4 * DAY) { from += width / 4; to -= width / 4; }
      if (how === "out") { from -= width / 2; to += width / 2; }
      if (how === "earlier") { from -= width / 2; to -= width / 2; }
      if (how === "later") { from += width / 2; to += width / 2; }
      if (how === "all") return this.range(this.all);
      const text = (time) => new Date(time).toISOString().slice(0, 19).replace("T", " ");
      return this.range([text(from), text(to)]);
    }

    // All visible dots by time, as [trace, point].
    dots() {
      const [from, to] = this.figure.layout.xaxis.range.map(utc);
      const half = this.figure.data.length / 2;
      const dots = [];
      this.figure.data.slice(0, half).forEach((trace, index) => {
        if (trace.visible === false) return;
        trace.x.forEach((x, point) => {
          const time = utc(x);
          if (time >= from && time <= to) dots.push([index, point, time]);
        });
      });
      return dots.sort((one, other) => one[2] - other[2]);
    }

    key(event) {
      const step = { ArrowRight: 1, ArrowLeft: -1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const dots = this.dots();
      if (dots.length === 0) return;
      const next = this.chosen < 0 && step > 0 ? 0 : this.chosen + step;
      this.chosen = Math.min(Math.max(next, 0), dots.length - 1);
      const [index, point] = dots[this.chosen];
      const trace = this.figure.data[index];
      Plotly.Fx.hover(this.plot, [{ curveNumber: index, pointNumber: point }]);
      this.reading.textContent = `${trace.y[point]} at ${trace.x[point]} UTC, run ${this.runs[trace.customdata[point]]}`;
    }

    // A thousand rows for each graph are made only when somebody wants to see them.
    list() {
      const table = document.createElement("table");
      const row = (parent, cells, kind) => {
        const line = parent.insertRow();
        cells.forEach((text) => {
          const cell = document.createElement(kind);
          if (kind === "th") cell.scope = "col";
          cell.textContent = text;
          line.append(cell);
        });
      };
      row(table.createTHead(), ["Time (UTC)", "Value", "Run", "Numbers"], "th");
      const body = table.createTBody();
      this.figure.data.slice(0, this.figure.data.length / 2).forEach((trace) => {
        trace.x.forEach((x, point) => row(body, [x, trace.y[point], this.runs[trace.customdata[point]], trace.name], "td"));
      });
      this.element.querySelector(".each .scroll").append(table);
    }
  }

  const graphs = [];
  document.querySelectorAll("main section").forEach((section) => {
    const runs = read(section.querySelector("script.runs"));
    section.querySelectorAll(".graph").forEach((element) => graphs.push(new Graph(element, runs)));
  });
  const seen = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
      seen.unobserve(entry.target);
      graphs.find((graph) => graph.plot === entry.target).draw();
    });
  }, { rootMargin: "600px" });
  graphs.forEach((graph) => seen.observe(graph.plot));
  const redraw = () => graphs.filter((graph) => graph.drawn).forEach((graph) => graph.draw());
  let pending = 0;
  addEventListener("resize", () => {
    clearTimeout(pending);
    pending = setTimeout(redraw, 150);
  });
  addEventListener("beforeprint", () => graphs.forEach((graph) => graph.draw()));
  document.addEventListener("theme", redraw);
})();
