"use strict";
/* Two models on the same questions: which rows belong together, who is better, and the paired statistics. */
(function () {
  const TIE = 0, FIRST = 1, SECOND = 2, TIE_KM = 0.001, FARTHEST_KM = 20015.1, LISTED = 50;
  const stats = geor1.stats, element = (...given) => geor1.element(...given);
  const { number, percent } = geor1;

  /* ---- pairs ---- */

  const largest = (column) => column.reduce((most, value) => Math.max(most, value), 0);

  /* One whole number for task, item, condition, rotation and sample of a row. */
  function keyMaker(data) {
    const { item, condition, rotation, sample, task } = data.col;
    const conditions = largest(condition) + 1, rotations = largest(rotation) + 1, samples = largest(sample) + 1;
    const most = (largest(item) + 1) * 2 * conditions * rotations * samples;
    if (most > Number.MAX_SAFE_INTEGER)
      throw new RangeError(`comparison: ${most} combinations of item, condition, rotation and sample are more than 2^53; `
        + "put fewer files on one page");
    return (i) => (((item[i] * 2 + task[i]) * conditions + condition[i]) * rotations + rotation[i]) * samples + sample[i];
  }

  /* Geolocation: the smaller error wins, a miss is infinite, less than a metre apart is a tie. Pairing: right wins. */
  function verdict(data, km, right, i, j) {
    if (data.col.task[i] === 1) {
      const first = data.col.outcome[i] === right, second = data.col.outcome[j] === right;
      return first === second ? TIE : first ? FIRST : SECOND;
    }
    if (km[i] === km[j] || Math.abs(km[i] - km[j]) < TIE_KM) return TIE;
    return km[i] < km[j] ? FIRST : SECOND;
  }

  const paired = new WeakMap();

  /* {partner: Int32Array[n], verdicts: Uint8Array[n]}: for each row of model a its row of model b (-1 for none), and
     who is better. Every row has at most one partner; a geolocation row whose true place is unknown has none. */
  geor1.pairUp = function (data, a, b) {
    if (!paired.has(data)) paired.set(data, new Map());
    const cache = paired.get(data), name = a + " " + b;
    if (cache.has(name)) return cache.get(name);
    const partner = new Int32Array(data.n).fill(-1), verdicts = new Uint8Array(data.n);
    const { km } = stats.errors(data), { model, task } = data.col;
    const key = keyMaker(data), right = data.header.outcomes.indexOf("right"), waiting = new Map();
    const counts = (i) => task[i] === 1 || !Number.isNaN(km[i]);
    if (a !== b)
      for (let i = data.n - 1; i >= 0; i--) if (model[i] === b && counts(i)) waiting.set(key(i), i);
    for (let i = 0; i < data.n; i++) {
      if (model[i] !== a || !counts(i)) continue;
      const at = key(i), j = waiting.get(at);
      if (j === undefined) continue;
      waiting.delete(at);
      partner[i] = j;
      verdicts[i] = verdict(data, km, right, i, j);
    }
    const made = { partner, verdicts };
    cache.set(name, made);
    return made;
  };

  /* ---- what is counted (exported for the tests) ---- */

  /* Rows of a and of b, of the task, condition and rotation on show, that have no counterpart; no other filter. */
  geor1.unpaired = function (data, state) {
    const [a, b] = state.get("compare"), { model, task, condition, rotation } = data.col, matched = new Uint8Array(data.n);
    for (let i = 0; i < data.n; i++) if (state.partner[i] >= 0) matched[i] = matched[state.partner[i]] = 1;
    let onlyA = 0, onlyB = 0;
    for (let i = 0; i < data.n; i++) {
      if (matched[i] || task[i] !== state.get("task") || condition[i] !== state.get("condition")) continue;
      if (state.get("rotation") >= 0 && rotation[i] !== state.get("rotation")) continue;
      onlyA += model[i] === a ? 1 : 0;
      onlyB += model[i] === b ? 1 : 0;
    }
    return { onlyA, onlyB };
  };

  /* Won, lost, tied with the sign test; both successes (within the threshold, or right) with their paired difference
     and McNemar's test; for geolocation both medians. */
  geor1.comparison = function (data, state) {
    const rows = state.shown, { partner, verdicts } = state, n = rows.length, verdictCounts = [0, 0, 0];
    const { km } = stats.errors(data), { outcome, task } = data.col;
    const right = data.header.outcomes.indexOf("right"), limit = state.get("threshold");
    const succeeds = (i) => (task[i] === 1 ? outcome[i] === right : km[i] <= limit);
    let both = 0, onlyA = 0, onlyB = 0;
    for (let r = 0; r < n; r++) {
      const i = rows[r], first = succeeds(i), second = succeeds(partner[i]);
      verdictCounts[verdicts[i]]++;
      if (first && second) both++;
      else if (first) onlyA++;
      else if (second) onlyB++;
    }
    const [tied, won, lost] = verdictCounts, sign = stats.binomialTwoSided(won, won + lost);
    const made = { n, won, lost, tied, sign, both, onlyA, onlyB, ...stats.pairedDifference(both, onlyA, onlyB, n),
      mcnemar: stats.mcnemar(onlyA, onlyB) };
    if (state.get("task") !== 0) return made;
    const middle = (chosen) => {
      const [errors] = stats.sortedErrors(data, chosen, null, 1), [low, high] = stats.medianInterval(errors);
      return { median: stats.median(errors), low, high };
    };
    return { ...made, medianA: middle(rows), medianB: middle(rows.map((i) => partner[i])) };
  };

  /* Rows of a with the largest difference to b, at most 50; a miss counts as the farthest point of the Earth. O(n). */
  geor1.largestDifferences = function (data, state) {
    const { km } = stats.errors(data), pairing = state.get("task") === 1, heap = [];
    const size = (i) => {
      if (state.verdicts[i] === TIE) return 0;
      return pairing ? 1 : Math.abs(Math.min(km[i], FARTHEST_KM) - Math.min(km[state.partner[i]], FARTHEST_KM));
    };
    for (const i of state.shown) {
      const difference = size(i);
      if (difference === 0 || (heap.length === LISTED && difference <= heap[LISTED - 1][0])) continue;
      let at = heap.length;
      while (at > 0 && heap[at - 1][0] < difference) at--;
      heap.splice(at, 0, [difference, i]);
      if (heap.length > LISTED) heap.pop();
    }
    return Uint32Array.from(heap, ([, i]) => i);
  };

  /* A p value as text: "p = 0.031", "p < 0.001". */
  geor1.pValue = (p) => (Number.isNaN(p) ? "no p value" : p < 0.001 ? "p < 0.001" : "p = " + p.toFixed(3));

  /* ---- the view ---- */

  const points = (share) => (share > 0 ? "+" : share < 0 ? "−" : "") + (100 * Math.abs(share)).toFixed(1);

  geor1.makeCompare = function (root, data, state) {
    const names = data.tables.model;
    root.classList.add("compare");
    if (names.length < 2) {
      root.append(element("p", "compare-nothing", "A comparison needs two models; this page holds " + names.length + "."));
      return { update: () => {} };
    }
    let chosen = [0, 1];
    const bar = element("div", "compare-bar"), body = element("div", "compare-body");
    const selects = ["A", "B"].map((label, k) => {
      const select = element("select"), box = element("label", "", label + " ");
      names.forEach((name, m) => {
        const option = element("option", "", name);
        option.value = m;
        select.append(option);
      });
      select.dataset.side = label;
      select.addEventListener("change", () => {
        const picked = Number(select.value), other = chosen[1 - k];
        if (picked === other) choose([chosen[1], chosen[0]], true); // the same twice: swap
        else choose(k ? [other, picked] : [picked, other], true);
      });
      box.append(select);
      bar.append(box);
      return select;
    });
    const turned = () => choose([chosen[1], chosen[0]], state.get("compare") !== null);
    const swap = geor1.button("compare-swap", "⇄ swap", turned, "Swap the two models");
    const toggle = geor1.button("compare-toggle", "", () => {
      if (state.get("compare")) state.set({ compare: null });
      else choose(chosen, true);
    });
    const threshold = element("select"), thresholdBox = element("label", "", "success: within ");
    for (const km of data.header.thresholds_km) {
      const option = element("option", "", number(km) + " km");
      option.value = km;
      threshold.append(option);
    }
    threshold.dataset.side = "threshold";
    threshold.addEventListener("change", () => state.set({ threshold: Number(threshold.value) }));
    thresholdBox.append(threshold);
    bar.append(swap, toggle, thresholdBox);
    root.append(bar, body);

    function choose(pair, on) {
      chosen = pair;
      if (on) state.set({ compare: [...pair], selected: -1 });
      else fill();
    }

    /* The controls as the state has them. */
    function fill() {
      const on = state.get("compare");
      if (on) chosen = [...on];
      selects.forEach((select, k) => { select.value = chosen[k]; });
      toggle.textContent = on ? "stop comparing" : "compare";
      toggle.setAttribute("aria-pressed", String(Boolean(on)));
      thresholdBox.hidden = state.get("task") !== 0;
      threshold.value = state.get("threshold");
    }

    const refresh = geor1.whenVisible(root, () => {
      fill();
      if (!state.get("compare")) {
        body.replaceChildren(element("p", "compare-nothing", "Choose two models and press “compare”: the map then shows, "
          + "for every question put to both, which of them was better."));
        return;
      }
      const [a, b] = state.get("compare").map((m) => names[m]), result = geor1.comparison(data, state);
      const columns = element("div", "compare-columns"), left = element("div", "compare-figures");
      left.append(...winsBar(data, state, result, a, b), ...figures(data, state, result, a, b));
      columns.append(left, differences(data, state, a, b));
      body.replaceChildren(columns);
    });
    const keys = ["rows", "task", "rotation", "threshold", "compare"];
    return { update: (changed) => {
      if (changed && changed.has("selected")) markSelected(body, state.get("selected"));
      refresh(!changed || keys.some((key) => changed.has(key)));
    } };
  };

  /* Won, tied and lost as one bar, in words below it. */
  function winsBar(data, state, result, a, b) {
    const { n, won, tied, lost } = result, strip = element("div", "compare-strip");
    const part = (count) => `${number(count)} (${percent(n ? count / n : NaN)})`;
    const words = `${a} better ${part(won)}, tied ${part(tied)}, ${b} better ${part(lost)}; n = ${number(n)}`;
    strip.setAttribute("role", "img");
    strip.setAttribute("aria-label", words);
    const [modelA, modelB] = state.get("compare");
    const parts = [[won, "won", "A", modelA], [tied, "tied", "=", -1], [lost, "lost", "B", modelB]];
    for (const [count, kind, text, model] of parts) {
      if (!count) continue;
      const piece = element("span", "compare-" + kind, count / n > 0.04 ? text : "");
      piece.style.flexGrow = count;
      if (model >= 0) piece.style.setProperty("--model", data.header.model_colours[model]);
      strip.append(piece);
    }
    return [strip, element("p", "compare-words", words)];
  }

  function line(label, ...cells) {
    const row = element("tr"), head = element("th", "", label);
    head.scope = "row";
    row.append(head, ...cells.map((text) => geor1.cell(text)));
    return row;
  }

  function figures(data, state, result, a, b) {
    const { n, both, onlyA, onlyB, won, lost } = result, geolocation = state.get("task") === 0;
    const table = element("table", "compare-table");
    const success = geolocation ? `within ${number(state.get("threshold"))} km` : "right";
    const share = (count) => `${percent(n ? count / n : NaN)} (${geor1.interval(...stats.wilson(count, n), geor1.percent)})`;
    const middle = (m) => `${geor1.distance(m.median)} (${geor1.interval(m.low, m.high, geor1.distance)})`;
    table.append(element("caption", "", `n = ${number(n)} pairs of answers to the same question; 95 % intervals`));
    table.append(line(`sign test, ${number(won)} to ${number(lost)}`, geor1.pValue(result.sign)));
    if (geolocation)
      table.append(line(`A ${a}: median error`, middle(result.medianA)), line(`B ${b}: median error`, middle(result.medianB)));
    table.append(line(`A ${a}: ${success}`, share(both + onlyA)), line(`B ${b}: ${success}`, share(both + onlyB)),
      line("A − B", n ? `${points(result.difference)} points (${points(result.low)} to ${points(result.high)})` : "–"),
      line(`McNemar, only A ${number(onlyA)}, only B ${number(onlyB)}`, geor1.pValue(result.mcnemar)));
    Object.assign(table.dataset, { n, won, lost, tied: result.tied, both, onlyA, onlyB });
    const alone = geor1.unpaired(data, state);
    const notes = ["Without a counterpart, before other filters: "
      + `${number(alone.onlyA)} answers of ${a}, ${number(alone.onlyB)} of ${b}.`];
    if (geolocation) notes.push("No answer loses to any answer; less than 1 m apart is a tie.");
    if (state.inWindow.length < n) notes.push("Whatever the map's window shows.");
    const dependence = geor1.dependenceNote(data, state.shown, false);
    if (dependence) notes.push(dependence.replace("too narrow.", "too narrow, p too small."));
    return [table, element("p", "compare-note", notes.join(" "))];
  }

  function markSelected(body, selected) {
    for (const button of body.querySelectorAll(".compare-list button"))
      button.setAttribute("aria-current", String(Number(button.dataset.row) === selected));
  }

  function differences(data, state, a, b) {
    const geolocation = state.get("task") === 0, rows = geor1.largestDifferences(data, state), { km } = stats.errors(data);
    const box = element("div", "compare-side"), list = element("ol", "compare-list");
    const outcome = (i) => (geolocation ? geor1.distance(km[i]) : data.header.outcomes[data.col.outcome[i]]);
    for (const i of rows) {
      const j = state.partner[i], better = state.verdicts[i] === FIRST ? "A" : "B", entry = element("li");
      const button = geor1.button("", "", () => state.set({ selected: i }));
      button.dataset.row = i;
      button.title = `${data.item(i)}: ${a} ${outcome(i)}, ${b} ${outcome(j)}`;
      button.append(element("span", "compare-better", better),
        element("span", "compare-what", data.place(i) || data.item(i)),
        element("span", "compare-from", `${outcome(i)} · ${outcome(j)}`));
      entry.append(button);
      list.append(entry);
    }
    box.append(element("h3", "", geolocation ? "Largest differences (A · B)" : "Decided differently (A · B)"),
      rows.length ? list : element("p", "compare-nothing", "None."));
    const rule = geolocation ? "; no answer counts as 20,015 km" : "";
    if (rows.length === LISTED) box.append(element("p", "compare-note", `The first ${LISTED}${rule}.`));
    markSelected(box, state.get("selected"));
    return box;
  }
})();
