"use strict";
/* Which colour a row has: a class a row and a palette, for the map, the clusters and the legend alike. */
(function () {
  // Monotone in lightness, so that order survives any colour-vision deficiency and grey print; the worst stands out most.
  const RAMP_LIGHT = ["#c9b458", "#e39a2d", "#dd6a2b", "#b93a32", "#7d1d3f", "#3d0f3b"];
  const RAMP_DARK = ["#6f5f96", "#9a5b95", "#c86482", "#e98560", "#f6b04f", "#fbe58a"];
  const SMALLEST_KM = 0.1, LARGEST_KM = 20015.1;

  /* A model's colour on the map: lightened in the dark as the style sheets lighten it (--model). */
  geor1.modelInk = function (data, model, dark) {
    const hex = data.header.model_colours[model];
    return dark ? "#" + geor1.rgb(hex).map((part) => Math.round(0.65 * part + 0.35 * 255).toString(16).padStart(2, "0")).join("") : hex;
  };

  geor1.ramp = (dark) => (dark ? RAMP_DARK : RAMP_LIGHT);
  geor1.toShare = (km) => Math.max(0, Math.min(1, Math.log(km / SMALLEST_KM) / Math.log(LARGEST_KM / SMALLEST_KM)));
  geor1.toKm = (share) => SMALLEST_KM * Math.pow(LARGEST_KM / SMALLEST_KM, share);

  /* {classes: Uint8Array[n], palette: [{colour, label}], own: whether the truth has the class's colour too, title} */
  geor1.paintOf = function (data, state, dark) {
    const by = state.get("colour"), ramp = geor1.ramp(dark), grey = data.header.colours.unusable;
    if (state.get("compare")) return compared(data, state, grey, dark);
    if (by === "model")
      return { classes: data.col.model, own: false, title: "model",
        palette: data.tables.model.map((label, k) => ({ colour: geor1.modelInk(data, k, dark), label })) };
    if (by === "threshold" || by === "error") return distances(data, ramp, grey, by === "error" ? null : data.header.thresholds_km);
    if (by.startsWith("reward:")) return rewarded(data, state, by, ramp, grey);
    return outcomes(data, dark);
  };

  function outcomes(data, dark) {
    const colours = data.header.colours, of = (name) => (name === "located" ? colours.prediction : colours[name]);
    return { classes: data.col.outcome, own: false, title: "outcome", arc: dark ? "#f0824a" : colours.error,
      palette: data.header.outcomes.map((label) => ({ colour: of(label), label })) };
  }

  /* Classes of distance: up to each limit, beyond the last, and no distance. */
  function distances(data, ramp, grey, limits) {
    const given = limits || [1, 10, 100, 1000, 5000], classes = new Uint8Array(data.n), none = given.length + 1;
    for (let i = 0; i < data.n; i++) {
      const km = data.col.km[i];
      let k = 0;
      if (isNaN(km)) k = none;
      else while (k < given.length && km > given[k]) k++;
      classes[i] = k;
    }
    const palette = given.map((limit, k) => ({ colour: ramp[k], label: (k ? "" : "≤ ") + (k ? geor1.number(given[k - 1]) + "–" : "") + geor1.number(limit) + " km" }));
    palette.push({ colour: ramp[given.length], label: "> " + geor1.number(given[given.length - 1]) + " km" }, { colour: grey, label: "no distance" });
    return { classes, palette, own: true, title: limits ? "distance threshold" : "error" };
  }

  /* Six equal steps between the least and the largest value of the term; the worst, the least, stands out. */
  function rewarded(data, state, by, ramp, grey) {
    const values = data.col[by], classes = new Uint8Array(data.n).fill(6);
    let low = Infinity, high = -Infinity;
    for (const i of state.anyError) if (!isNaN(values[i])) { low = Math.min(low, values[i]); high = Math.max(high, values[i]); }
    const step = (high - low) / 6 || 1;
    for (let i = 0; i < data.n; i++) if (!isNaN(values[i])) classes[i] = Math.max(0, Math.min(5, Math.floor((values[i] - low) / step)));
    const text = (k) => geor1.number(low + k * step, 2);
    const palette = ramp.map((_, k) => ({ colour: ramp[5 - k], label: text(k) + " – " + text(k + 1) }));
    return { classes, palette: [...palette, { colour: grey, label: "no such reward" }], own: true,
      title: "reward: " + data.header.rewards[Number(by.slice(7))] };
  }

  function compared(data, state, grey, dark) {
    const [a, b] = state.get("compare"), name = (k) => data.tables.model[k], ink = (k) => geor1.modelInk(data, k, dark);
    return { classes: state.verdicts, own: true, title: "comparison", shapes: ["square", "circle", "diamond"],
      palette: [{ colour: grey, label: "tie" }, { colour: ink(a), label: name(a) + " better" }, { colour: ink(b), label: name(b) + " better" }] };
  }

  /* [{kind, colour, label}] for the legend beside the map. */
  geor1.legendOf = function (data, state, paint) {
    const colours = data.header.colours, geolocation = state.get("task") === 0;
    if (state.get("compare")) return paint.palette.map((entry, k) => ({ ...entry, kind: paint.shapes[k] }));
    if (!geolocation && state.get("colour") === "outcome" && state.get("view") === "points")
      return [["circle", colours.right, "right tile chosen"], ["cross", colours.wrong, "wrong tile"], ["square", colours.unusable, "unusable"]]
        .map(([kind, colour, label]) => ({ kind, colour, label }));
    const used = new Set();
    for (const i of state.shown) used.add(paint.classes[i]);
    const classes = paint.palette.map((entry, k) => ({ ...entry, k })).filter((entry) => used.has(entry.k));
    const shapes = geolocation ? [["circle", paint.own ? "" : colours.truth, "truth"], ["diamond", paint.own || state.get("colour") === "model" ? "" : colours.prediction, "prediction"],
      ["square", colours.unusable, "truth, answer unusable"]] : [["circle", "", "right"], ["cross", "", "wrong"], ["square", "", "unusable"]];
    if (state.get("view") !== "points") return classes.map((entry) => ({ ...entry, kind: "swatch" }));
    return [...shapes.map(([kind, colour, label]) => ({ kind, colour: colour || colours.unusable, label })),
      ...(state.get("colour") === "outcome" ? [] : classes.map((entry) => ({ ...entry, kind: "swatch" })))];
  };
})();
