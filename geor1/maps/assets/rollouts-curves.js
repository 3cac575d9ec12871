"use strict";
/* Small multiples of the run's curves: every value faint, its moving mean strong, a cursor at the step shown. */
(function () {
  const WIDTH = 200, HEIGHT = 64, PAD = 4;
  const { element: node, drawing, figure } = geor1;

  /* Means over the last `window` values, fewer at the beginning. */
  geor1.movingMean = function (values, window) {
    const means = new Float64Array(values.length);
    let sum = 0;
    for (let i = 0; i < values.length; i++) {
      sum += values[i] - (i >= window ? values[i - window] : 0);
      means[i] = sum / Math.min(i + 1, window);
    }
    return means;
  };

  /* A limit of the axis with as many decimals as tell the two limits apart. */
  function limit(value, span) {
    const decimals = span > 0 ? Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(span)))) : 2;
    return value.toLocaleString("en-GB", { maximumFractionDigits: decimals }).replace("-", "\u2212");
  }

  function path(xs, ys, className) {
    let text = "";
    for (let i = 0; i < xs.length; i++) text += (i ? "L" : "M") + xs[i].toFixed(1) + " " + ys[i].toFixed(2);
    if (xs.length === 1) text += "h0"; // a dot, by its round cap
    return drawing("path", { d: text, class: className, "vector-effect": "non-scaling-stroke" });
  }

  /* Index of the last point at or before a step; 0 if none is. */
  function at(steps, number) {
    let low = 0, high = steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle] <= number) low = middle + 1; else high = middle;
    }
    return Math.max(0, low - 1);
  }

  function panel(curve, x, toNumber, jump) {
    const window = curve.window, means = geor1.movingMean(curve.values, window);
    let low = Infinity, high = -Infinity;
    for (const value of curve.values) { low = Math.min(low, value); high = Math.max(high, value); }
    const room = high > low ? high - low : Math.max(Math.abs(high), 1);
    const y = (value) => HEIGHT - PAD - ((value - (high > low ? low : low - room / 2)) / room) * (HEIGHT - 2 * PAD);
    const box = node("figure", "curve curve-" + curve.kind), name = node("figcaption"), shown = node("output");
    const svg = drawing("svg", { viewBox: "0 0 " + WIDTH + " " + HEIGHT, preserveAspectRatio: "none", role: "img" });
    const xs = Array.from(curve.steps, x);
    svg.append(path(xs, Array.from(curve.values, y), window > 1 ? "every" : "mean"));
    if (window > 1) svg.append(path(xs, Array.from(means, y), "mean"));
    const cursor = drawing("line", { y1: 0, y2: HEIGHT, class: "cursor", "vector-effect": "non-scaling-stroke" });
    svg.append(cursor);
    svg.addEventListener("click", (event) => {
      const area = svg.getBoundingClientRect();
      jump(toNumber(((event.clientX - area.left) / area.width) * WIDTH));
    });
    name.append(node("span", "", curve.name), shown);
    const scale = node("div", "scale");
    scale.append(node("span", "", limit(low, high - low)), node("span", "", limit(high, high - low)));
    const plot = node("div", "plot");
    plot.append(svg, scale);
    box.append(name, plot);
    box.title = (curve.source === "metrics" ? "Every completion of a step" : "The logged groups only")
      + (window > 1 ? "; strong: mean of the last " + window + " points" : "");
    return {
      box,
      update(number) {
        const k = at(curve.steps, number), text = figure(curve.values[k]);
        shown.textContent = text;
        cursor.setAttribute("x1", x(number));
        cursor.setAttribute("x2", x(number));
        svg.setAttribute("aria-label", curve.name + " at step " + curve.steps[k] + ": " + text);
      },
    };
  }

  /* root: where they go; jump(number): called with the optimiser step clicked on. */
  geor1.makeRolloutCurves = function (root, data, jump) {
    const curves = data.curves(), ends = curves.flatMap((curve) => [curve.steps[0], curve.steps[curve.steps.length - 1]]);
    if (data.steps) ends.push(data.stepNumber(0), data.stepNumber(data.steps - 1));
    const first = Math.min(...ends), last = Math.max(...ends), width = Math.max(1, last - first);
    const x = (number) => PAD + ((number - first) / width) * (WIDTH - 2 * PAD);
    const toNumber = (at) => first + ((at - PAD) / (WIDTH - 2 * PAD)) * width;
    const panels = curves.map((curve) => panel(curve, x, toNumber, jump));
    root.replaceChildren(...panels.map((one) => one.box));
    if (panels.length)
      root.append(node("p", "note", "Steps " + first + " to " + last + ". Faint: every value; strong: moving mean. A click jumps to the nearest logged step."));
    else root.append(node("p", "note", "No curves: neither metrics nor rollouts hold a figure."));
    return { update: (number) => panels.forEach((one) => one.update(number)) };
  };

  /* Share of tied groups of every logged step, as one strip under the slider. */
  geor1.tiedStrip = function (data) {
    const svg = drawing("svg", { viewBox: "0 0 " + Math.max(1, data.steps) + " 10", preserveAspectRatio: "none", role: "img", class: "strip",
      "aria-label": "Share of tied groups at each logged step" });
    let text = "";
    for (let step = 0; step < data.steps; step++) {
      const { tied, untied } = data.counts(step), height = (10 * tied) / Math.max(1, tied + untied);
      if (height) text += "M" + step + " 10h1v" + -height + "h-1z";
    }
    svg.append(drawing("path", { d: text || "M0 0" }));
    return svg;
  };
})();
