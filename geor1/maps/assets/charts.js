"use strict";
/* Charts of the rows in the map's window. Geolocation: distribution of the errors, one curve a model; pairing: share
   right a model. Inline SVG, so that they stay sharp in print; colours come from the page's custom properties. */
(function () {
  const NAMESPACE = "http://www.w3.org/2000/svg", SMALLEST_KM = 0.1, LARGEST_KM = 20015.1, BINS = 32, SLIDER_BINS = 50;
  const DASHES = ["", "7 3", "2 3", "10 3 2 3", "14 4", "5 2 1 2 1 2"]; // a model is told by its dashes too
  const stats = geor1.stats;

  /* An SVG node; attributes as a plain object. */
  geor1.svg = function (tag, attributes, text) {
    const node = document.createElementNS(NAMESPACE, tag);
    for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const svg = geor1.svg, element = (...given) => geor1.element(...given);
  const { number, percent } = geor1;

  /* A distance that may be infinite (a miss) or unknown. */
  geor1.distance = (km) => (Number.isNaN(km) ? "–" : km === Infinity ? "∞ (no answer)" : geor1.kilometres(km));

  /* A table cell that breaks before its brackets and nowhere else. */
  geor1.cell = function (text) {
    const cell = element("td");
    text.split(" (").forEach((part, k) => cell.append(...(k ? [" "] : []), element("span", "charts-unbroken", (k ? "(" : "") + part)));
    return cell;
  };

  /* "12–80 km", "80 km to ∞ (no answer)", "∞ (no answer)", or why there is no interval. */
  geor1.interval = function (low, high, show) {
    if (Number.isNaN(low) || Number.isNaN(high)) return "no interval: too few";
    const first = show(low), last = show(high), unit = (text) => text.slice(text.lastIndexOf(" "));
    if (low === Infinity) return last;
    return high < Infinity && unit(first) === unit(last) ? first.slice(0, -unit(first).length) + "–" + last : first + " to " + last;
  };

  function coloured(node, data, model) {
    node.style.setProperty("--model", data.header.model_colours[model]);
    return node;
  }

  function modelStyle(node, data, model) {
    if (DASHES[model % DASHES.length]) node.setAttribute("stroke-dasharray", DASHES[model % DASHES.length]);
    return coloured(node, data, model);
  }

  /* How a model is drawn: its line, or its dot where every value has a line of its own. */
  function swatch(data, model, dotted) {
    const box = svg("svg", { width: dotted ? 10 : 30, height: 10, class: "charts-swatch", "aria-hidden": "true" });
    box.append(dotted ? coloured(svg("circle", { cx: 5, cy: 5, r: 4, class: "charts-dot" }), data, model)
      : modelStyle(svg("path", { d: "M0 5H30", class: "charts-curve" }), data, model));
    return box;
  }

  /* ---- drawing ---- */

  function frame(width, height, title, name) {
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name, class: "charts-figure" });
    root.style.setProperty("--wide", width + "px");
    root.append(svg("text", { x: 0, y: 13, class: "charts-title" }, title));
    return root;
  }

  const centred = (x, y, text, className) => svg("text", { x, y, "text-anchor": "middle", class: className || "" }, text);

  /* Distance axis with the project's marks; returns km -> x. */
  function distanceAxis(root, box, data, threshold) {
    const x = (km) => box.left + box.width * geor1.toShare(km), base = box.top + box.height;
    const written = [], marks = data.header.thresholds_km;
    for (const km of [threshold, ...marks.filter((mark) => mark !== threshold).reverse()]) {
      const chosen = km === threshold, text = number(km), half = 3.4 * text.length + 2;
      root.append(svg("path", { d: `M${x(km)} ${box.top}V${base + 4}`, class: "charts-grid" + (chosen ? " charts-chosen" : "") }));
      if (written.some(([at, reach]) => Math.abs(at - x(km)) < reach + half)) continue; // no room beside its neighbour
      written.push([x(km), half]);
      root.append(centred(x(km), base + 16, text, chosen ? "charts-strong" : ""));
    }
    root.append(svg("path", { d: `M${box.left} ${base}h${box.width}`, class: "charts-axis" }),
      centred(box.left + box.width / 2, base + 31, "error (km, logarithmic)"));
    return x;
  }

  /* Share axis from 0 to top; returns share -> y. */
  function shareAxis(root, box, top, label) {
    const y = (share) => box.top + box.height * (1 - share / top);
    const step = [0.01, 0.02, 0.05, 0.1, 0.25].find((size) => top / size <= 5) || 0.25;
    for (let share = 0; share <= top + 1e-9; share += step)
      root.append(svg("path", { d: `M${box.left} ${y(share)}h${box.width}`, class: "charts-grid" }),
        svg("text", { x: box.left - 5, y: y(share) + 4, "text-anchor": "end" }, Math.round(100 * share) + " %"));
    root.append(svg("text", { x: box.left - 38, y: box.top - 8 }, label));
    return y;
  }

  const inWords = (s) =>
    `${s.name}: n ${number(s.n)}, median error ${geor1.distance(s.median)}, ${percent(s.misses / s.n)} without an answer`;

  function histogram(data, summary, width, height, threshold) {
    const box = { left: 42, top: 34, width: width - 42 - 62, height: height - 34 - 36 }, alone = summary.length === 1;
    const root = frame(width, height, "Errors: histogram", "Histogram of the errors. " + summary.map(inWords).join("; "));
    const shares = summary.map(({ errors, n }) => {
      const counts = [];
      for (let b = 0, before = 0; b < BINS; b++) {
        const upTo = stats.countWithin(errors, b === BINS - 1 ? Number.MAX_VALUE : geor1.toKm((b + 1) / BINS));
        counts.push((upTo - before) / n);
        before = upTo;
      }
      return counts;
    });
    const highest = Math.max(0.01, ...shares.flat(), ...summary.map((s) => s.misses / s.n));
    const x = distanceAxis(root, box, data, threshold), y = shareAxis(root, box, highest * 1.05, "share of the samples");
    const base = y(0), missAt = box.left + box.width + 14, step = box.width / BINS;
    const className = "charts-curve" + (alone ? " charts-filled" : "");
    summary.forEach((s, k) => {
      let path = `M${x(SMALLEST_KM)} ${base}`;
      shares[k].forEach((share, b) => { path += `V${y(share).toFixed(1)}H${(box.left + (b + 1) * step).toFixed(1)}`; });
      for (const d of [path + `V${base}`, `M${missAt} ${base}V${y(s.misses / s.n)}h34V${base}`])
        root.append(modelStyle(svg("path", { d, class: className }), data, s.model));
    });
    root.append(svg("path", { d: `M${missAt - 4} ${base}h42`, class: "charts-axis" }),
      centred(missAt + 17, base + 16, "no"), centred(missAt + 17, base + 29, "answer"));
    return root;
  }

  const shortened = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

  /* Names beside the curves' ends, pushed apart so that none covers another. */
  function labelEnds(root, data, ends, x, lowest) {
    const slot = (end) => Math.round(end.y / 13); // ends this near each other stand in the order of the curves
    ends.sort((a, b) => slot(a) - slot(b) || a.median - b.median || a.y - b.y);
    ends.forEach((end, k) => { end.at = k ? Math.max(end.y, ends[k - 1].at + 13) : end.y; });
    for (let k = ends.length - 1, floor = lowest; k >= 0; k--, floor -= 13) {
      ends[k].at = floor = Math.min(ends[k].at, floor);
      const leader = svg("path", { d: `M${x} ${ends[k].y}L${x + 9} ${ends[k].at}`, class: "charts-curve charts-leader" });
      root.append(coloured(leader, data, ends[k].model),
        svg("text", { x: x + 13, y: ends[k].at + 4, class: "charts-label" }, shortened(ends[k].name, 13)));
    }
  }

  function cumulative(data, summary, width, height, threshold) {
    const box = { left: 42, top: 34, width: width - 42 - 104, height: height - 34 - 36 };
    const within = (s) => `${s.name}: ${percent(s.within / s.n)} within ${number(threshold)} km (n ${number(s.n)})`;
    const name = "Cumulative share of the errors. " + summary.map(within).join("; "), ends = [];
    const root = frame(width, height, "Errors: cumulative", name), x = distanceAxis(root, box, data, threshold);
    const y = shareAxis(root, box, 1, "share with at most this error");
    for (const s of summary) {
      let path = "";
      for (let pixel = 0; pixel <= box.width; pixel += 1.5) {
        const share = stats.countWithin(s.errors, geor1.toKm(pixel / box.width)) / s.n;
        path += `${path ? "L" : "M"}${(box.left + pixel).toFixed(1)} ${y(share).toFixed(1)}`;
      }
      const last = 1 - s.misses / s.n;
      path += `L${x(LARGEST_KM)} ${y(last).toFixed(1)}`;
      root.append(modelStyle(svg("path", { d: path, class: "charts-curve" }), data, s.model));
      ends.push({ name: s.name, model: s.model, y: y(last), median: s.median });
    }
    labelEnds(root, data, ends, box.left + box.width + 1, y(0));
    return root;
  }

  /* One line a value: a dot with its interval, the figures at its right. lines: {label, value, low, high, text, model}. */
  function dots(data, lines, width, { title, name, low, high, show, unit, reference }) {
    const pitch = 24, longest = Math.max(...lines.map((line) => line.label.length)), left = Math.min(150, 12 + 7 * longest);
    const box = { left, top: 30, width: Math.max(60, width - left - 150), height: pitch * lines.length };
    const base = box.top + box.height, root = frame(width, base + 38, title, name);
    const x = (value) => box.left + (box.width * (Math.min(high, Math.max(low, value)) - low)) / (high - low);
    for (let k = 0; k <= 4; k += box.width < 170 ? 2 : 1) {
      const value = low + ((high - low) * k) / 4;
      root.append(svg("path", { d: `M${x(value)} ${box.top}V${base + 4}`, class: "charts-grid" }),
        centred(x(value), base + 17, show(value)));
    }
    root.append(centred(box.left + box.width / 2, base + 32, unit));
    if (reference && !Number.isNaN(reference.value))
      root.append(svg("path", { d: `M${x(reference.value)} ${box.top - 6}V${base}`, class: "charts-reference" }),
        svg("text", { x: x(reference.value) + 4, y: box.top - 2, class: "charts-label" }, reference.label));
    lines.forEach((line, k) => {
      const y = box.top + pitch * (k + 0.5);
      root.append(svg("text", { x: box.left - 8, y: y + 4, "text-anchor": "end" }, shortened(line.label, 20)));
      if (!Number.isNaN(line.low))
        root.append(coloured(svg("path", { d: `M${x(line.low)} ${y}H${x(line.high)}`, class: "charts-curve" }), data, line.model));
      root.append(coloured(svg("circle", { cx: x(line.value), cy: y, r: 4, class: "charts-dot" }), data, line.model),
        svg("text", { x: box.left + box.width + 10, y: y + 4, class: "charts-label" }, line.text));
    });
    return root;
  }

  function legend(data, head, lines, dotted) {
    const table = element("table", "charts-legend"), top = element("tr");
    for (const text of head) {
      const cell = element("th", "", text);
      cell.scope = "col";
      top.append(cell);
    }
    table.append(top, ...lines.map(([model, ...texts]) => {
      const row = element("tr"), first = element("th");
      first.scope = "row";
      first.append(swatch(data, model, dotted), texts[0]);
      row.append(first, ...texts.slice(1).map((text) => geor1.cell(text)));
      return row;
    }));
    return table;
  }

  const halves = (width) => (width >= 680 ? (width - 24) / 2 : width); // two figures side by side where there is room
  const counted = (count, n) => `${number(count)} (${percent(count / n)})`;
  const estimate = (value, low, high, show) => `${show(value)} (${geor1.interval(low, high, show)})`;

  function geolocationCharts(data, rows, state, width) {
    const threshold = state.get("threshold"), summary = geor1.errorSummary(data, rows, threshold), each = halves(width);
    if (!summary.length) return [element("p", "charts-nothing", "No sample with a known true place passes the filters.")];
    const height = Math.min(230, Math.max(180, each * 0.5)), unplaced = rows.length - summary.reduce((sum, s) => sum + s.n, 0);
    const head = ["model", "n", "no answer", "median error (95 % interval)", `within ${number(threshold)} km (95 % interval)`];
    const lines = summary.map((s) => [s.model, s.name, number(s.n), counted(s.misses, s.n),
      estimate(s.median, s.low, s.high, geor1.distance), estimate(s.within / s.n, s.withinLow, s.withinHigh, percent)]);
    const notes = ["A sample without an answer stays in the denominator.", geor1.dependenceNote(data, rows, false)];
    if (unplaced) notes.push(`Left out: ${number(unplaced)} whose true place is unknown.`);
    return [histogram(data, summary, each, height, threshold), cumulative(data, summary, each, height, threshold),
      legend(data, head, lines), ...rewardChart(data, rows, each), element("p", "charts-note", notes.filter(Boolean).join(" "))];
  }

  function rewardChart(data, rows, width) {
    const found = geor1.rewardSummary(data, rows), means = found.map((f) => f.mean);
    if (!found.length) return [];
    const several = new Set(found.map((f) => f.model)).size > 1, show = (value) => value.toFixed(2);
    const lines = found.map((f) => ({ ...f, value: f.mean, label: several ? `${f.term} · ${f.name}` : f.term,
      text: `${f.mean.toFixed(3)} (n ${number(f.n)})` }));
    const spoken = found.map((f) => `${f.term}, ${f.name}: ${f.mean.toFixed(3)}, n ${number(f.n)}`).join("; ");
    return [dots(data, lines, width, { title: "Rewards: mean a term, 95 % interval", name: "Mean reward a term. " + spoken,
      low: Math.min(0, ...means), high: Math.max(1, ...means), show, unit: "reward" })];
  }

  function pairingCharts(data, rows, state, width) {
    const { models, chance } = geor1.pairingSummary(data, rows), each = halves(width), known = !Number.isNaN(chance);
    if (!models.length) return [element("p", "charts-nothing", "No sample passes the filters.")];
    const lines = models.map((s) => ({ ...s, value: s.share, label: s.name,
      text: `${percent(s.share)} (${number(s.right)} of ${number(s.n)})` }));
    const spoken = models.map((s) => `${s.name}: ${estimate(s.share, s.low, s.high, percent)}, n ${number(s.n)}`);
    const name = `Share right a model. ${spoken.join("; ")}${known ? "; chance " + percent(chance) : ""}`;
    const figure = dots(data, lines, each, { title: "Share right, 95 % interval", name, low: 0, high: 1,
      show: (value) => percent(value, 0), unit: "share of the questions",
      reference: { value: chance, label: `chance ${percent(chance)}` } });
    const table = legend(data, ["model", "n", "right (95 % interval)", "unusable"], models.map((s) => [s.model, s.name,
      number(s.n), estimate(s.share, s.low, s.high, percent), counted(s.unusable, s.n)]), true);
    const notes = ["An unusable answer counts as not right.", geor1.dependenceNote(data, rows, false)];
    if (!known) notes.push("No chance line: the number of candidates is not known for every question.");
    return [figure, ...rewardChart(data, rows, each), table, element("p", "charts-note", notes.filter(Boolean).join(" "))];
  }

  /* Draw when there is room and something changed; a hidden root has no width, and is drawn when it gets one. */
  geor1.whenVisible = function (root, draw) {
    let width = 0, stale = true;
    new ResizeObserver(([entry]) => {
      const now = Math.floor(entry.contentRect.width);
      stale = stale || (now > 0 && now !== width);
      width = now;
      requestAnimationFrame(() => refresh(false)); // drawing changes the height: not while sizes are being observed
    }).observe(root);
    function refresh(changed) {
      stale = stale || changed;
      if (!stale || width <= 0) return;
      stale = false;
      draw(width);
    }
    return refresh;
  };

  const touches = (changed, keys) => !changed || keys.some((key) => changed.has(key));

  geor1.makeCharts = function (root, data, state) {
    const figures = element("div", "charts-figures");
    root.classList.add("charts");
    root.append(figures);
    const refresh = geor1.whenVisible(figures, (width) => {
      const rows = geor1.bothSides(state, state.inWindow);
      figures.replaceChildren(...(state.get("task") === 0 ? geolocationCharts : pairingCharts)(data, rows, state, width));
    });
    const keys = ["rows", "window", "task", "rotation", "threshold", "compare"];
    return { update: (changed) => refresh(touches(changed, keys)) };
  };

  /* The small histogram above the error sliders: bars between the sliders in the error colour. */
  geor1.makeErrorHistogram = function (root, data, state) {
    const view = svg("svg", { viewBox: `0 0 ${SLIDER_BINS} 40`, preserveAspectRatio: "none", role: "img", class: "charts-slider" });
    const bars = Array.from({ length: SLIDER_BINS }, (_, b) => svg("rect", { x: b + 0.05, width: 0.9, y: 40, height: 0 }));
    const counts = new Uint32Array(SLIDER_BINS);
    view.append(...bars);
    root.append(view);

    function count() {
      const { km } = stats.errors(data), rows = state.anyError;
      counts.fill(0);
      for (let r = 0; r < rows.length; r++) {
        const error = km[rows[r]];
        if (error < Infinity) counts[Math.min(SLIDER_BINS - 1, Math.floor(geor1.toShare(error) * SLIDER_BINS))]++;
      }
      const top = Math.max(1, ...counts);
      bars.forEach((bar, b) => {
        const height = counts[b] ? Math.max(1, (39 * counts[b]) / top) : 0;
        bar.setAttribute("y", 40 - height);
        bar.setAttribute("height", height);
      });
    }

    function colour() {
      const low = geor1.toShare(state.get("kmMin")), high = geor1.toShare(state.get("kmMax"));
      const total = counts.reduce((a, b) => a + b, 0);
      bars.forEach((bar, b) => {
        const middle = (b + 0.5) / SLIDER_BINS;
        bar.setAttribute("class", middle >= low && middle <= high ? "charts-inside" : "charts-outside");
      });
      view.setAttribute("aria-label", `Histogram of ${number(total)} errors, 0.1 to 20,015 km`);
    }

    return { update: (changed) => {
      if (touches(changed, ["rows", "task"])) count();
      if (touches(changed, ["rows", "task", "kmMin", "kmMax"])) colour();
    } };
  };
})();
