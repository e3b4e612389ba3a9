"use strict";
// Sorts and filters the tables of the page, draws its charts, and shows its images. Names of methods and images
// reach the page as text alone: nothing here writes markup.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const read = (id) => JSON.parse(document.getElementById(id).textContent);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const make = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const draw = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

// A labeled list of choices; `change` is called when another one is chosen. Choices are [value, text].
function chooser(text, choices, change) {
  const select = make("select", { "aria-label": text }, ...choices.map(([value, shown]) => make("option", { value }, shown)));
  const label = make("label", {}, text, select);
  select.addEventListener("change", change);
  return { label, select, get value() { return select.value; } };
}

function choose(chooser, choices) {
  const kept = chooser.value;
  chooser.select.replaceChildren(...choices.map(([value, shown]) => make("option", { value }, shown)));
  if (choices.some(([value]) => String(value) === kept)) chooser.select.value = kept;
}

// ------------------------------------------------------------------------------------------------- tables

const words = new Intl.Collator(undefined, { numeric: true });

function number(text) {
  if (text === "inf" || text === "∞") return Infinity;
  if (text === "-inf" || text === "−∞") return -Infinity;
  return parseFloat(text.replace("−", "-"));
}

// Rows: the text and the number in a column, all words, and the element, of long tables made when it is shown.
function standingRow(row) {
  let words;
  return {
    text: (column) => row.cells[column].firstChild.textContent.trim(), // without the note below it
    number: (column) => number(row.cells[column].dataset.v ?? row.cells[column].textContent),
    words: () => words ??= row.textContent.toLowerCase(),
    element: () => row,
  };
}
function listedRow(texts, heads) {
  let element;
  const cell = (text, column) => heads[column].dataset.row !== undefined ? make("th", { scope: "row" }, text)
    : make("td", heads[column].dataset.number !== undefined ? { "data-v": text } : {}, text);
  return {
    text: (column) => texts[column],
    number: (column) => number(texts[column]),
    words: () => texts.join(" ").toLowerCase(),
    element: () => element ??= make("tr", {}, ...texts.map(cell)),
  };
}

const PAGE = 200; // rows of a long table that are shown at first, and more at a time

function enhanceTable(host, listed) {
  const table = host.querySelector("table"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const rows = listed ? listed.map((texts) => listedRow(texts, heads)) : [...body.rows].map(standingRow);
  let limit = listed ? PAGE : Infinity;

  heads.forEach((head, column) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const first = head.dataset.first ?? "ascending", other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.setAttribute("aria-sort", each === head ? order : "none"));
      sort(column, "number" in head.dataset, order === "ascending" ? 1 : -1);
      show();
    });
  });

  function sort(column, isNumber, sign) {
    const values = new Map(rows.map((row) => [row, isNumber ? row.number(column) : row.text(column)]));
    rows.sort((one, other) => {
      const a = values.get(one), b = values.get(other);
      if (!isNumber) return sign * words.compare(a, b);
      if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b); // what is missing is last
      return a === b ? 0 : a < b ? -sign : sign;
    });
  }

  const search = make("input", { type: "search", "aria-label": "Filter", placeholder: "words in a row" });
  const status = make("span", { class: "status", role: "status" });
  const more = make("button", { type: "button", class: "more" }, `Show ${PAGE} more rows`);
  const choosers = heads.map((head, column) => {
    if (!("choose" in head.dataset)) return null;
    const values = [...new Set(rows.map((row) => row.text(column)))].sort(words.compare);
    return values.length < 2 ? null : { column, ...chooser(head.textContent, [["", "all"], ...values.map((value) => [value, value])], show) };
  }).filter(Boolean);

  function show() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = choosers.filter((each) => each.select.value !== "");
    const kept = rows.filter((row) => chosen.every(({ column, select }) => row.text(column) === select.value) &&
      wanted.every((word) => row.words().includes(word)));
    body.replaceChildren(...kept.slice(0, limit).map((row) => row.element()));
    more.hidden = kept.length <= limit;
    status.textContent = kept.length === rows.length ? `${rows.length} rows` : `${kept.length} of ${rows.length} rows`;
  }
  search.addEventListener("input", show);
  more.addEventListener("click", () => { limit += PAGE; show(); });
  host.prepend(make("div", { class: "controls" }, make("label", {}, "Filter", search), ...choosers.map((each) => each.label), status));
  host.append(more);
  show();
}

// ------------------------------------------------------------------------------------------------- charts

const DASHES = ["", "7 3", "2 3", "9 3 2 3", "5 5"];
const MARKS = [ // within a circle of radius one
  "M-.9 0A.9 .9 0 1 0 .9 0A.9 .9 0 1 0 -.9 0Z", "M-.8-.8H.8V.8H-.8Z", "M0-1.05L.95.75H-.95Z", "M0-1.1L.85 0L0 1.1L-.85 0Z",
  "M0 1.05L.95-.75H-.95Z", "M-.3-1H.3V-.3H1V.3H.3V1H-.3V.3H-1V-.3H-.3Z", "M-1-.6L-.6-1L0-.4L.6-1L1-.6L.4 0L1 .6L.6 1L0 .4L-.6 1L-1 .6L-.4 0Z",
];
const color = (index) => `--color: var(--c${index % 8})`;
const style = (element, index) => { element.style.cssText += color(index); return element; };
const mark = (index, x, y, size = 5, hollow = false) => style(draw("path", {
  class: hollow ? "mark hollow" : "mark", d: MARKS[index % MARKS.length], transform: `translate(${x} ${y}) scale(${size})`, "vector-effect": "non-scaling-stroke",
}), index);

const raised = (power) => "10" + [...String(power)].map((sign) => sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]).join("");
function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(1).replace(".0e", "e") : String(+value.toPrecision(4));
  return text.replace("-", "−");
}

// Ends and ticks of an axis that shows these values; logarithmic where `log` is true, or where it fits.
function axis(values, log, ends) {
  const positive = values.filter((value) => value > 0);
  const isLog = log && positive.length > 0;
  const shown = isLog ? positive.map(Math.log10) : values;
  let [low, high] = ends ?? [Math.min(...shown), Math.max(...shown)];
  if (!ends) {
    const gap = (high - low) * 0.06 || (isLog ? 0.3 : Math.abs(high) * 0.05 || 1);
    low -= gap;
    high += gap;
  }
  const place = (value) => ((isLog ? Math.log10(Math.max(value, 1e-300)) : value) - low) / (high - low);
  const ticks = (count) => {
    const found = [];
    if (isLog) {
      const step = Math.max(1, Math.ceil((high - low) / count));
      const between = high - low < 1.2 ? [1, 2, 3, 5, 7] : high - low < 2.5 && count > 4 ? [1, 2, 5] : [1];
      for (let power = Math.floor(low); power <= high; power++) {
        if (((power % step) + step) % step) continue;
        for (const factor of between) {
          const value = factor * 10 ** power;
          if (Math.log10(value) < low || Math.log10(value) > high) continue;
          found.push([value, factor === 1 && Math.abs(power) > 3 ? raised(power) : short(value)]);
        }
      }
      return found;
    }
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push([i * step, short(+(i * step).toPrecision(12))]);
    return found;
  };
  return { place, ticks };
}

const fitsLog = (values) => values.length > 1 && Math.min(...values) > 0 && Math.max(...values) >= 10 * Math.min(...values);
const isKnown = (value) => value !== null && value !== undefined && isFinite(value);

// Series are {name, index, points: [{x, y, error, text}], line, band, steps, marks}; a plot has titles and ends.
function plotted(host, plot) {
  const width = Math.max(260, host.clientWidth), height = Math.round(Math.min(400, Math.max(260, width * 0.7)));
  const left = 58, right = 14, top = 12, bottom = 46, across = width - left - right, up = height - top - bottom;
  const points = plot.series.flatMap((series) => series.points);
  const ys = points.flatMap(({ y, error = 0 }) => [y - error, y, y + error]);
  const xs = points.map((point) => point.x);
  const logY = plot.logY ?? fitsLog(points.map((point) => point.y));
  const x = axis(xs, plot.logX ?? fitsLog(xs), plot.endsX), y = axis(ys, logY, plot.endsY);
  const px = (value) => left + across * x.place(value);
  const py = (value) => top + up * (1 - Math.min(1.5, Math.max(-0.5, y.place(value))));
  const clip = `clip-${plotted.count = (plotted.count ?? 0) + 1}`;
  const inside = draw("g", { "clip-path": `url(#${clip})` });
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": plot.about },
    draw("clipPath", { id: clip }, draw("rect", { x: left, y: top, width: across, height: up })));
  for (const [value, text] of x.ticks(Math.max(3, across / 80))) {
    svg.append(draw("line", { class: "grid", x1: px(value), x2: px(value), y1: top, y2: top + up }),
      draw("text", { x: px(value), y: top + up + 17, "text-anchor": "middle" }, text));
  }
  for (const [value, text] of y.ticks(Math.max(3, up / 55))) {
    svg.append(draw("line", { class: "grid", x1: left, x2: left + across, y1: py(value), y2: py(value) }),
      draw("text", { x: left - 7, y: py(value) + 4, "text-anchor": "end" }, text));
  }
  svg.append(inside, draw("rect", { class: "frame", x: left, y: top, width: across, height: up }),
    draw("text", { x: left + across / 2, y: height - 8, "text-anchor": "middle" }, plot.titleX),
    draw("text", { x: -(top + up / 2), y: 14, transform: "rotate(-90)", "text-anchor": "middle" }, plot.titleY));
  const path = (list) => list.map(([a, b], i) => `${i ? "L" : "M"}${px(a).toFixed(1)} ${py(b).toFixed(1)}`).join("");
  if (plot.envelope) {
    const w = plot.envelope; // F = x, w to either side
    inside.append(draw("path", { class: "envelope", d: path([[0, w], [1, 1 + w], [1, 1 - w], [0, -w]]) + "Z" }));
  }
  if (plot.diagonal) inside.append(draw("path", { class: "diagonal", d: path(plot.diagonal.map((v) => [v, v])) }));
  for (const series of plot.series) {
    const sorted = [...series.points].sort((a, b) => a.x - b.x), group = draw("g", { "data-series": series.name });
    if (series.band && sorted.length > 1) {
      const upper = sorted.map((p) => [p.x, p.y + (p.error ?? 0)]), lower = sorted.map((p) => [p.x, p.y - (p.error ?? 0)]);
      group.append(style(draw("path", { class: "band", d: path([...upper, ...lower.reverse()]) + "Z" }), series.index));
    }
    if (series.line && sorted.length > 1) {
      const corners = series.steps ? sorted.flatMap((p, i) => i ? [[p.x, sorted[i - 1].y], [p.x, p.y]] : [[p.x, p.y]]) : sorted.map((p) => [p.x, p.y]);
      group.append(style(draw("path", { class: "line", d: path(corners), "stroke-dasharray": DASHES[series.index % DASHES.length] }), series.index));
    }
    if (!series.steps) {
      for (const p of sorted) {
        if (p.error && !series.band) {
          group.append(style(draw("line", { class: "bar-error", x1: px(p.x), x2: px(p.x), y1: py(p.y - p.error), y2: py(p.y + p.error) }), series.index));
        }
        const drawn = mark(series.index, px(p.x), py(p.y), plot.small ? 3.2 : 5, p.hollow);
        drawn.append(draw("title", {}, `${series.name}: ${p.text ?? `${short(p.x)}, ${short(p.y)}`}`));
        group.append(drawn);
      }
    }
    inside.append(group);
  }
  return svg;
}

function legend(series, hidden, change) {
  return make("ul", { class: "legend" }, ...series.map(({ name, index, line }) => {
    const box = make("input", { type: "checkbox" });
    box.checked = !hidden.has(name);
    box.addEventListener("change", () => { box.checked ? hidden.delete(name) : hidden.add(name); change(); });
    const swatch = draw("svg", { width: 30, height: 12, "aria-hidden": "true", class: "swatch" });
    if (line) swatch.append(style(draw("path", { class: "line", d: "M1 6H29", "stroke-dasharray": DASHES[index % DASHES.length] }), index));
    swatch.append(mark(index, 15, 6, 4.5));
    return make("li", {}, make("label", {}, box, swatch, name));
  }));
}

const stated = (column) => column.title + (column.arrow ? ` ${column.arrow}` : "");

// Each kind of chart: the controls that it has, and the plot for what they are set to.
const CHARTS = {
  cost(suite, control) {
    const task = control("Task", suite.tasks.map((each, i) => [i, each.name]));
    const measure = control("Measure", measures(suite), suite.primary);
    const cost = control("Cost", suite.columns.filter((column) => column.cost).map((column) => [column.name, column.title]));
    return () => {
      const [of, by] = [measure, cost].map((each) => suite.columns.find((column) => column.name === each.value));
      const series = suite.tasks[task.value].rows
        .filter((row) => isKnown(row.means[of.name]) && row.means[by.name] > 0)
        .map((row) => point(suite, row, row.means[by.name] / by.scale, of));
      return { series, titleX: by.title, titleY: stated(of), logX: true };
    };
  },
  axis(suite, control) {
    const along = control("Along", suite.axes.map((name) => [name, name]));
    const measure = control("Measure", measures(suite), suite.primary);
    const rest = control("At", []);
    return () => {
      const of = suite.columns.find((column) => column.name === measure.value), name = along.value;
      const others = (task) => Object.entries(task.axes).filter(([axis]) => axis !== name).map(([axis, value]) => `${axis} = ${value}`).join(", ");
      const tasks = suite.tasks.filter((task) => typeof task.axes[name] === "number");
      choose(rest, [...new Set(tasks.map(others))].map((text) => [text, text || "—"]));
      rest.label.hidden = rest.select.options.length < 2;
      const found = new Map();
      for (const task of tasks.filter((task) => others(task) === rest.value)) {
        for (const row of task.rows.filter((row) => isKnown(row.means[of.name]))) {
          const { points, ...series } = point(suite, row, task.axes[name], of);
          if (!found.has(series.name)) found.set(series.name, { ...series, points: [], line: true, band: true });
          found.get(series.name).points.push(...points);
        }
      }
      return { series: [...found.values()], titleX: name, titleY: stated(of) };
    };
  },
  uniform(suite, control) {
    const task = control("Task", suite.tasks.map((each, i) => [i, each.name]));
    const measure = control("Measure", suite.columns.filter((column) => column.uniform).map((column) => [column.name, column.title]));
    return () => {
      const rows = suite.tasks[task.value].rows.filter((row) => row.uniform[measure.value]);
      const series = rows.map((row) => {
        const values = row.uniform[measure.value], n = values.length;
        const points = [{ x: 0, y: 0 }, ...values.map((value, i) => ({ x: value, y: (i + 1) / n })), { x: 1, y: 1 }];
        return { name: row.label, index: place(suite, row), points, line: true, steps: true };
      });
      const envelope = Math.max(0, ...rows.map((row) => row.widths[measure.value]));
      const title = suite.columns.find((column) => column.name === measure.value).title;
      return { series, titleX: title, titleY: "part of the cells", endsX: [0, 1], endsY: [0, 1], logX: false, logY: false, diagonal: [0, 1], envelope };
    };
  },
  coverage(suite, control) {
    const task = control("Task", suite.tasks.map((each, i) => [i, each.name]));
    const levels = suite.columns.filter((column) => column.nominal !== null);
    return () => {
      const series = suite.tasks[task.value].rows
        .map((row) => ({ name: row.label, index: place(suite, row), line: true, points: levels
          .filter((column) => isKnown(row.means[column.name]))
          .flatMap((column) => point(suite, row, column.nominal, column).points) }))
        .filter((each) => each.points.length);
      return { series, titleX: "credible level", titleY: "coverage", endsX: [0, 1], endsY: [0, 1], logX: false, logY: false, diagonal: [0, 1] };
    };
  },
  spread(suite, control) {
    const task = control("Task", suite.tasks.map((each, i) => [i, each.name]));
    return () => {
      const series = suite.tasks[task.value].rows.filter((row) => row.spread.length)
        .map((row) => ({ name: row.label, index: place(suite, row), points: row.spread.map(([x, y]) => ({ x, y })) }));
      const values = series.flatMap((each) => each.points.flatMap(({ x, y }) => [x, y]));
      const log = fitsLog(values), shown = log ? values.map(Math.log10) : values;
      const gap = (Math.max(...shown) - Math.min(...shown)) * 0.06 || 0.1;
      const ends = [Math.min(...shown) - gap, Math.max(...shown) + gap];
      const diagonal = log ? ends.map((end) => 10 ** end) : ends;
      return { series, titleX: "root mean square error", titleY: "spread", endsX: ends, endsY: ends, logX: log, logY: log, diagonal, small: true };
    };
  },
};

const measures = (suite) => suite.columns.filter((column) => !column.cost && !column.uniform).map((column) => [column.name, column.title]);

// One color, dash and mark for each method in all charts of a suite.
function place(suite, row) {
  suite.labels ??= [...new Set(suite.tasks.flatMap((task) => task.rows.map((each) => each.label)))].sort(words.compare);
  return suite.labels.indexOf(row.label);
}

function point(suite, row, x, column) {
  const y = row.means[column.name] / column.scale, error = (row.errors[column.name] ?? 0) / column.scale;
  const note = row.notes[column.name];
  const text = `${column.title} ${short(y)}${error ? ` ± ${short(error)}` : ""} at ${short(x)}${note ? ` (${note})` : ""}`;
  return { name: row.label, index: place(suite, row), points: [{ x, y, error, text, hollow: Boolean(note) }] };
}

function enhanceChart(figure, suite) {
  const controls = make("div", { class: "controls" }), canvas = make("div", { class: "canvas" }), names = make("div"), hidden = new Set();
  const control = (text, choices, chosen) => {
    const made = chooser(text, choices, () => update(true));
    if (chosen !== undefined) made.select.value = chosen;
    made.label.hidden = choices.length === 1;
    controls.append(made.label);
    return made;
  };
  const plan = CHARTS[figure.dataset.kind](suite, control);
  figure.prepend(controls, canvas, names);

  function update(withLegend) {
    const plot = plan();
    plot.about = `${figure.dataset.title}: ${plot.titleY} over ${plot.titleX}. Its figures are in the table of results.`;
    if (withLegend) names.replaceChildren(legend(plot.series, hidden, () => update(false)));
    plot.series = plot.series.filter((series) => !hidden.has(series.name));
    const isEmpty = plot.series.every((series) => series.points.length === 0);
    canvas.replaceChildren(isEmpty ? make("p", { class: "caption" }, "Nothing to draw for this choice.") : plotted(canvas, plot));
  }
  update(true);
  let width = canvas.clientWidth;
  new ResizeObserver(() => {
    if (canvas.clientWidth === width) return;
    width = canvas.clientWidth;
    update(false);
  }).observe(figure);
}

// ------------------------------------------------------------------------------------------------- images

function enhanceViewer(host, problems, contrast) {
  const pictures = read("pictures"), by = new Map(problems.map((problem, i) => [problem, i]));
  const distinct = (list) => [...new Set(list)].map((value) => [value, value]);
  const suite = chooser("Suite", distinct(problems.map((problem) => problem.suite)), () => pickSuite());
  const task = chooser("Task", [], () => pickTask());
  const image = chooser("Image", [], () => pickImage());
  const first = chooser("Left", [], () => show());
  const second = chooser("Right", [], () => show());
  const what = chooser("All methods by", [["image", "image"], ["error", "error"], ["std", "uncertainty"]], () => show());
  const gain = chooser("Maps brighter by", [["1", "1"], ["2", "2"], ["5", "5"], ["10", "10"]], () => show());
  const range = make("input", { type: "range", min: 0, max: 100, value: 50, id: "split" });
  const views = make("div", { class: "views" }), gallery = make("div", { class: "gallery" });
  suite.label.hidden = suite.select.options.length < 2;
  host.append(make("div", { class: "controls" }, ...[suite, task, image, first, second, gain].map((each) => each.label)),
    views, make("div", { class: "controls" }, what.label), gallery);

  const picture = (place, alt, isMap) => make("img", { src: `data:image/webp;base64,${pictures[place]}`, alt, ...(isMap ? { class: "map" } : {}) });
  const titled = (drawn, ...text) => make("figure", {}, drawn, make("figcaption", {}, ...text));
  const problem = () => problems[image.value];

  function pickSuite() {
    choose(task, distinct(problems.filter((each) => each.suite === suite.value).map((each) => each.task)));
    pickTask();
  }
  function pickTask() {
    const own = problems.filter((each) => each.suite === suite.value && each.task === task.value);
    choose(image, own.map((each) => [by.get(each), each.image]));
    pickImage();
  }
  function pickImage() {
    const names = problem().methods.map((method) => [method.label, method.label]);
    choose(first, names);
    choose(second, "truth" in problem() ? [["", "truth"], ...names] : names);
    show();
  }

  function split() {
    views.style.setProperty("--split", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % of the width show the left image`);
  }
  range.addEventListener("input", split);

  function show() {
    const here = problem(), find = (label) => here.methods.find((method) => method.label === label);
    const truth = { label: "truth", image: here.truth, measure: "" };
    const chosen = [find(first.value), second.value === "" ? truth : find(second.value)];
    const on = `${here.task}, ${here.image}`;
    const [left, right] = chosen.map((method) => picture(method.image, `${method.label} on ${on}`));
    right.classList.add("over");
    const pair = make("div", { class: "pair" }, left, right, make("i"));
    const drag = (event) => {
      if (event.type === "pointermove" && event.buttons !== 1) return;
      const frame = pair.getBoundingClientRect();
      range.value = 100 * (event.clientX - frame.left) / frame.width;
      split();
    };
    pair.addEventListener("pointerdown", drag);
    pair.addEventListener("pointermove", drag);
    pair.addEventListener("dragstart", (event) => event.preventDefault());
    const names = make("div", { class: "names" }, ...chosen.map((method) => make("span", {}, make("b", {}, method.label), make("br"), method.measure)));
    const maps = chosen.flatMap((method) => [["error", "error"], ["std", "uncertainty"]]
      .filter(([part]) => part in method)
      .map(([part, text]) => titled(picture(method[part], `${text} of ${method.label} on ${on}`, true), `${text} of ${method.label}`)));
    const end = (here.window[1] - here.window[0] || 1) / contrast / gain.value;
    const scale = make("div", { class: "scale" }, "0", make("span", { class: "bar" }), short(end));
    const gray = make("div", { class: "caption" }, `Black ${short(here.window[0])}, white ${short(here.window[1])}.`);
    views.replaceChildren(
      make("div", {}, pair, make("label", { for: "split", class: "unseen" }, "Split between the left and the right image"), range, names, gray),
      make("div", {}, make("div", { class: "maps" }, ...maps), ...(maps.length ? [scale] : [])));
    views.style.setProperty("--gain", gain.value);
    gallery.style.setProperty("--gain", gain.value);
    split();

    const part = what.value, shown = here.methods.filter((method) => part in method).map((method) => {
      const button = make("button", { type: "button", "aria-pressed": method.label === first.value },
        titled(picture(method[part], `${part === "std" ? "uncertainty" : part} of ${method.label} on ${on}`, part !== "image"), method.label, make("small", { class: "note" }, method.measure)));
      button.addEventListener("click", () => {
        first.select.value = method.label;
        show();
        all("button[aria-pressed=true]", gallery)[0]?.focus();
      });
      return button;
    });
    if (part === "image" && "truth" in here) shown.push(titled(picture(here.truth, `truth on ${on}`), "truth"));
    gallery.replaceChildren(...(shown.length ? shown : [make("p", { class: "caption" }, "No method gives this.")]));
  }
  pickSuite();
}

// --------------------------------------------------------------------------------------------------- page

const data = read("data");
all(".table").forEach((host) => {
  if (!("cells" in host.dataset)) return enhanceTable(host);
  const opened = () => enhanceTable(host, read("cells")[host.dataset.cells]);
  host.closest("details").addEventListener("toggle", opened, { once: true });
});

// What is far down is made when it is near: the first screen does not wait for it.
function whenNear(element, start) {
  const run = () => { watch.disconnect(); removeEventListener("beforeprint", run); start(); };
  const watch = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) run(); }, { rootMargin: "800px" });
  watch.observe(element);
  addEventListener("beforeprint", run);
}
all("figure.chart").forEach((figure) => whenNear(figure, () => enhanceChart(figure, data.suites[figure.dataset.suite])));
const viewer = document.getElementById("viewer");
if (viewer) whenNear(viewer, () => enhanceViewer(viewer, read("problems"), data.contrast));
