"use strict";
/* Intervals and exact paired tests in the page, the same numbers as geor1/evaluation/statistics.py.

   Everything is pure; intervals are two-sided at 95 % and come back as [low, high]. A miss is an infinite error, so
   that it stays in the denominator. NaN stands for "there is no such number" (no values, or too few for an interval). */
(function () {
  const Z = 1.959963984540054, TAIL = 0.025; // the normal quantile at 97.5 %, and what is left on either side

  function checkCount(name, k, n) {
    if (!Number.isInteger(k) || !Number.isInteger(n) || k < 0 || k > n)
      throw new RangeError(`${name}: expected whole numbers 0 <= k <= n, got ${k} of ${n}; count the rows again`);
  }

  /* Wilson score interval of a share, without continuity correction; [0, 1] where n = 0: nothing is known.
     Source: Wilson (1927). */
  function wilson(k, n) {
    checkCount("wilson", k, n);
    if (n === 0) return [0, 1];
    const share = k / n, scale = 1 + (Z * Z) / n, centre = (share + (Z * Z) / (2 * n)) / scale;
    const half = (Z * Math.sqrt((share * (1 - share)) / n + (Z * Z) / (4 * n * n))) / scale;
    return [k === 0 ? 0 : Math.max(0, centre - half), k === n ? 1 : Math.min(1, centre + half)];
  }

  /* Order statistic at a share of sorted values: the inverse of their distribution function, so that nothing is
     interpolated between a number and infinity. */
  function quantile(sorted, share) {
    const n = sorted.length;
    if (!n) return NaN;
    return sorted[Math.min(n - 1, Math.max(0, Math.ceil(n * share - 1)))];
  }

  /* The middle of sorted values, infinite if one of the two middle ones is. */
  function median(sorted) {
    const n = sorted.length;
    return n ? (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2 : NaN;
  }

  /* How many of the sorted values are at most the limit. */
  function countWithin(sorted, limit) {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= limit) low = middle + 1; else high = middle;
    }
    return low;
  }

  /* ---- the binomial distribution at 1/2 ---- */

  /* ln n! minus Stirling's formula. A difference of whole log-gammas loses nine digits at n = 1e6; this loses none.
     Source: Loader (2000), Fast and accurate computation of binomial probabilities. */
  function stirlingError(n) {
    if (n <= 15) {
      let factorial = 1;
      for (let i = 2; i <= n; i++) factorial *= i;
      return Math.log(factorial) - ((n + 0.5) * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI));
    }
    const m = n * n;
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / m) / m) / m) / m) / n;
  }

  /* x ln(x / mean) + mean - x, by its series where x is near the mean (same source). */
  function deviance(x, mean) {
    if (Math.abs(x - mean) >= 0.1 * (x + mean)) return x * Math.log(x / mean) + mean - x;
    const v = (x - mean) / (x + mean);
    let sum = (x - mean) * v, term = 2 * x * v;
    for (let j = 1; j < 1000; j++) {
      term *= v * v;
      const next = sum + term / (2 * j + 1);
      if (next === sum) break;
      sum = next;
    }
    return sum;
  }

  function probability(k, n) {
    if (k === 0 || k === n) return Math.pow(0.5, n);
    const log = stirlingError(n) - stirlingError(k) - stirlingError(n - k) - deviance(k, n / 2) - deviance(n - k, n / 2);
    return Math.exp(log) * Math.sqrt(n / (2 * Math.PI * k * (n - k)));
  }

  /* P(X <= k) for k below the middle: terms fall from k downwards, and stop where they no longer count. */
  function lowerTail(k, n) {
    if (k < 0) return 0;
    let term = probability(k, n), sum = 0;
    for (let i = k; i >= 0 && term > sum * 1e-18; i--) {
      sum += term;
      term *= i / (n - i + 1);
    }
    return sum;
  }

  /* Exact two-sided p of k out of n at probability 1/2 (the sign test); 1 where n = 0. */
  function binomialTwoSided(k, n) {
    checkCount("binomialTwoSided", k, n);
    return n === 0 || 2 * k === n ? 1 : Math.min(1, 2 * lowerTail(Math.min(k, n - k), n));
  }

  /* Exact McNemar test from the two discordant counts. Source: McNemar (1947), in its exact binomial form. */
  const mcnemar = (onlyA, onlyB) => binomialTwoSided(onlyA, onlyA + onlyB);

  /* Distribution-free interval of the median of sorted values: two of them, chosen by the binomial distribution so
     that each side is missed with at most 2.5 %. [NaN, NaN] for n < 6, where even all values together do not reach
     95 %. Source: Conover (1999), Practical nonparametric statistics, section 3.2. */
  function medianInterval(sorted) {
    const n = sorted.length;
    if (n < 6) return [NaN, NaN];
    let rank = Math.max(0, Math.floor((n - 2.2 * Math.sqrt(n)) / 2) - 1); // P(X < rank) is safely below 2.5 %
    let below = lowerTail(rank - 1, n), here = probability(rank, n);
    while (below + here <= TAIL) {
      below += here;
      here *= (n - rank) / (rank + 1);
      rank++;
    }
    return [sorted[rank - 1], sorted[n - rank]];
  }

  /* ---- pairs and means ---- */

  /* Share of A minus share of B over the same n items, with Newcombe's method 10: Wilson's limits squared and added,
     less the correlation of the pairs (continuity-corrected).
     Source: Newcombe (1998), Improved confidence intervals for the difference between binomial proportions based on
     paired data, Statistics in Medicine 17, 2635-2650. */
  function pairedDifference(bothRight, onlyA, onlyB, n) {
    checkCount("pairedDifference", bothRight + onlyA + onlyB, n);
    if (n === 0) return { difference: NaN, low: NaN, high: NaN };
    const neither = n - bothRight - onlyA - onlyB, rightA = bothRight + onlyA, rightB = bothRight + onlyB;
    const a = rightA / n, b = rightB / n, [lowA, highA] = wilson(rightA, n), [lowB, highB] = wilson(rightB, n);
    const product = rightA * (n - rightA) * rightB * (n - rightB), cross = bothRight * neither - onlyA * onlyB;
    const phi = product === 0 ? 0 : (cross > 0 ? Math.max(cross - n / 2, 0) : cross) / Math.sqrt(product);
    const reach = (x, y) => Math.sqrt(Math.max(0, x * x - 2 * phi * x * y + y * y));
    return { difference: a - b, low: a - b - reach(a - lowA, highB - b), high: a - b + reach(highA - a, b - lowB) };
  }

  /* Mean of values (often differences) with its normal interval; NaN of none, no interval of one. */
  function meanDifference(values) {
    const n = values.length;
    let sum = 0, squares = 0;
    for (let i = 0; i < n; i++) sum += values[i];
    const mean = n ? sum / n : NaN;
    for (let i = 0; i < n; i++) squares += (values[i] - mean) ** 2;
    const half = n > 1 ? Z * Math.sqrt(squares / (n - 1) / n) : NaN;
    return { mean, low: mean - half, high: mean + half, n };
  }

  /* ---- errors of the rows ---- */

  const known = new WeakMap();

  /* Per row the error in km as it counts: infinite for an unusable answer, NaN for a pairing row or an unknown true
     place; and the rows that have one, smallest first. Sorted once a page, never again for a filter. */
  function errors(data) {
    if (known.has(data)) return known.get(data);
    const { km, task, tlat } = data.col, km_ = new Float32Array(data.n).fill(NaN), scored = [];
    for (let i = 0; i < data.n; i++) {
      if (task[i] !== 0 || Number.isNaN(tlat[i])) continue;
      km_[i] = Number.isNaN(km[i]) ? Infinity : km[i];
      scored.push(i);
    }
    const order = Uint32Array.from(scored).sort((a, b) => km_[a] - km_[b] || a - b);
    const made = { km: km_, order, member: new Uint8Array(data.n) };
    known.set(data, made);
    return made;
  }

  /* The errors of the given rows, sorted, one Float32Array a group: `group` is a column of group indices below
     `groups`, or null for one group of all. Rows without an error are left out. O(n), no sorting. */
  function sortedErrors(data, rows, group, groups) {
    const { km, order, member } = errors(data), counts = new Uint32Array(groups + 1);
    member.fill(0);
    for (let r = 0; r < rows.length; r++) {
      const i = rows[r];
      if (Number.isNaN(km[i])) continue;
      member[i] = 1;
      counts[(group ? group[i] : 0) + 1]++;
    }
    for (let g = 0; g < groups; g++) counts[g + 1] += counts[g];
    const next = counts.slice(0, groups), all = new Float32Array(counts[groups]);
    for (let r = 0; r < order.length; r++) {
      const i = order[r];
      if (member[i]) all[next[group ? group[i] : 0]++] = km[i];
    }
    return Array.from({ length: groups }, (_, g) => all.subarray(counts[g], counts[g + 1]));
  }

  /* ---- rows that are not independent ---- */

  const groups = new WeakMap();

  /* The first row of each row's question (task, condition, item), by the same model and by any. */
  function firstRows(data) {
    if (groups.has(data)) return groups.get(data);
    const { condition, item, model, task } = data.col, models = data.tables.model.length, seen = [new Map(), new Map()];
    const made = { own: new Uint32Array(data.n), any: new Uint32Array(data.n) };
    for (let i = 0; i < data.n; i++) {
      const question = (item[i] * data.tables.condition.length + condition[i]) * 2 + task[i];
      for (const [k, name, key] of [[0, "own", question * models + model[i]], [1, "any", question]]) {
        const first = seen[k].get(key);
        if (first === undefined) seen[k].set(key, i);
        made[name][i] = first === undefined ? i : first;
      }
    }
    groups.set(data, made);
    return made;
  }

  /* What the intervals over these rows, which take rows for independent, do not know, as a note; "" where nothing.
     `pooled`: whether models stand in one figure. Source: geor1/evaluation/statistics.py resamples whole questions. */
  geor1.dependenceNote = function (data, rows, pooled) {
    const { own, any } = firstRows(data), seen = [new Uint8Array(data.n), new Uint8Array(data.n)];
    let answers = 0, questions = 0;
    for (let r = 0; r < rows.length; r++) {
      const i = rows[r];
      if (!seen[0][own[i]]) { seen[0][own[i]] = 1; answers++; }
      if (!seen[1][any[i]]) { seen[1][any[i]] = 1; questions++; }
    }
    const repeated = answers < rows.length, shared = pooled && questions < answers;
    if (!repeated && !shared) return "";
    const what = repeated ? "Several answers of a model to one question (rotations, samples)" : "Answers of several models to one question";
    return `${what} count as questions of their own${repeated && shared ? ", and so do several models' answers" : ""}: `
      + "the intervals are too narrow.";
  };

  /* ---- a model at a time ---- */

  /* Per model with scored rows: n, misses, median and its interval, share within the threshold and its interval. */
  geor1.errorSummary = function (data, rows, threshold) {
    const sorted = sortedErrors(data, rows, data.col.model, data.tables.model.length), found = [];
    sorted.forEach((errors, model) => {
      const n = errors.length;
      if (!n) return;
      const within = countWithin(errors, threshold), answered = countWithin(errors, Number.MAX_VALUE);
      const [low, high] = medianInterval(errors), [withinLow, withinHigh] = wilson(within, n);
      found.push({ model, name: data.tables.model[model], errors, n, misses: n - answered, median: median(errors),
        low, high, within, withinLow, withinHigh });
    });
    return found;
  };

  const candidates = new WeakMap();

  /* Tiles of each picture set: the K of its questions, 0 where no pictures are named. */
  function tilesOf(data) {
    if (!candidates.has(data)) {
      const start = data.col["picset.start"], role = data.col["pic.role"], tiles = new Uint8Array(start.length - 1);
      for (let set = 0; set < tiles.length; set++)
        for (let p = start[set]; p < start[set + 1]; p++) tiles[set] += role[p] === 1 ? 1 : 0;
      candidates.set(data, tiles);
    }
    return candidates.get(data);
  }

  /* Per model: n, right, unusable, and the share right with its interval; `chance` is the mean of 1/K, NaN if any K is
     unknown. */
  geor1.pairingSummary = function (data, rows) {
    const models = data.tables.model.length, n = new Uint32Array(models), right = n.slice(), unusable = n.slice();
    const { model, outcome, picset, task } = data.col, tiles = tilesOf(data), codes = data.header.outcomes;
    const isRight = codes.indexOf("right"), isUnusable = codes.indexOf("unusable");
    let chance = 0, total = 0;
    for (let r = 0; r < rows.length; r++) {
      const i = rows[r], k = tiles[picset[i]];
      if (task[i] !== 1) continue;
      n[model[i]]++;
      right[model[i]] += outcome[i] === isRight ? 1 : 0;
      unusable[model[i]] += outcome[i] === isUnusable ? 1 : 0;
      chance += k ? 1 / k : NaN;
      total++;
    }
    const found = [];
    for (let m = 0; m < models; m++) {
      if (!n[m]) continue;
      const [low, high] = wilson(right[m], n[m]);
      found.push({ model: m, name: data.tables.model[m], n: n[m], right: right[m], unusable: unusable[m],
        share: right[m] / n[m], low, high });
    }
    return { models: found, chance: total ? chance / total : NaN };
  };

  /* Per reward term and model: mean of the finite values, its interval and n. */
  geor1.rewardSummary = function (data, rows) {
    const found = [], models = data.tables.model.length, model = data.col.model, values = new Float64Array(rows.length);
    data.header.rewards.forEach((term, k) => {
      const column = data.col["reward:" + k], ends = new Uint32Array(models + 1);
      for (let r = 0; r < rows.length; r++) if (Number.isFinite(column[rows[r]])) ends[model[rows[r]] + 1]++;
      for (let m = 0; m < models; m++) ends[m + 1] += ends[m];
      const next = ends.slice();
      for (let r = 0; r < rows.length; r++) {
        const i = rows[r];
        if (Number.isFinite(column[i])) values[next[model[i]]++] = column[i];
      }
      for (let m = 0; m < models; m++) {
        const own = values.subarray(ends[m], ends[m + 1]);
        if (own.length) found.push({ term, model: m, name: data.tables.model[m], ...meanDifference(own) });
      }
    });
    return found;
  };

  geor1.stats = { wilson, quantile, median, countWithin, binomialTwoSided, mcnemar, medianInterval, pairedDifference,
    meanDifference, errors, sortedErrors };
})();
