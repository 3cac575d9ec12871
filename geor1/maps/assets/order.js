"use strict";
/* The orders of the table: each column is sorted once over all rows, then every filter only picks from it. */
(function () {
  const caches = new WeakMap(), orders = new WeakMap();
  const DIGITS = 12;

  /* What strings are compared by: without case and accents, numbers by their value. (A Collator takes ten times as long.) */
  const natural = (text) => geor1.fold(text).replace(/\d+/g, (digits) => digits.padStart(DIGITS, "0"));

  /* Place of each string in alphabetical order; those that compare equal share one, NaN stands for "". */
  function alphabetical(strings) {
    const keys = strings.map(natural), places = new Float64Array(strings.length);
    const by = Uint32Array.from(keys.keys()).sort((a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : 0));
    let place = 0;
    by.forEach((k, at) => {
      if (at && keys[by[at - 1]] !== keys[k]) place = at;
      places[k] = strings[k] === "" ? NaN : place;
    });
    return places;
  }

  function stored(data, store) {
    const count = Math.max(0, data.col[store + ".offsets"].length - 1);
    return Array.from({ length: count }, (_, k) => data.label(store, k));
  }

  const through = (places, column) => Float64Array.from(column, (k) => places[k]);

  /* Sum of the finite reward terms of a row, NaN without any. */
  geor1.rewardTotal = function (data, i) {
    let total = 0, some = false;
    for (let k = 0; k < data.header.rewards.length; k++) {
      const value = data.col["reward:" + k][i];
      if (Number.isFinite(value)) { total += value; some = true; }
    }
    return some ? total : NaN;
  };

  const KEYS = {
    rank: (data) => Float64Array.from(data.col.rank),
    model: (data) => through(alphabetical(data.tables.model), data.col.model),
    status: (data) => through(alphabetical(data.tables.status), data.col.status),
    item: (data) => through(alphabetical(stored(data, "item")), data.col.item),
    place: (data) => through(alphabetical(stored(data, "label")), data.col.place),
    guessed: (data) => through(alphabetical(stored(data, "label")), data.col.guessed),
    choice: ({ col }) => Float64Array.from(col.choice, (choice, i) => choice === 255 ? NaN : 256 * choice + col.answer[i]),
    outcome: (data) => Float64Array.from(data.col.outcome),
    km: (data) => Float64Array.from(data.col.km),
    tokens: (data) => Float64Array.from(data.col.tokens, (count) => count < 0 ? NaN : count),
    facts: ({ col }) => Float64Array.from(col.facts_stated, (stated, i) => stated ? col.facts_true[i] / stated : NaN),
    reward: (data) => Float64Array.from({ length: data.n }, (_, i) => geor1.rewardTotal(data, i)),
  };

  /* Whether rows can be sorted by a column of this name. */
  geor1.sortable = (data, name) => Object.hasOwn(KEYS, name)
    || (name.startsWith("reward:") && /^\d+$/.test(name.slice(7)) && Number(name.slice(7)) < data.header.rewards.length);

  function keys(data, name) {
    if (!geor1.sortable(data, name)) throw new RangeError("sort: expected a column of the table, got " + JSON.stringify(name));
    if (Object.hasOwn(KEYS, name)) return KEYS[name](data);
    return Float64Array.from(data.col[name], (value) => Number.isFinite(value) ? value : NaN);
  }

  function sorted(data, name, descending) {
    const key = keys(data, name), rank = data.col.rank, sign = descending ? -1 : 1;
    const known = [], unknown = [];
    for (let i = 0; i < data.n; i++) (Number.isNaN(key[i]) ? unknown : known).push(i);
    const byRank = (a, b) => rank[a] - rank[b];
    const order = new Uint32Array(data.n);
    order.set(Uint32Array.from(known).sort((a, b) => sign * (key[a] - key[b]) || byRank(a, b)));
    order.set(Uint32Array.from(unknown).sort(byRank), known.length);
    return order;
  }

  /* All rows by a column; ties worst first, rows without a value last whichever the direction. Computed once. */
  geor1.sortedRows = function (data, name, descending) {
    if (!caches.has(data)) caches.set(data, new Map());
    const cache = caches.get(data), key = name + (descending ? " down" : " up");
    if (!cache.has(key)) cache.set(key, sorted(data, name, descending));
    return cache.get(key);
  };

  /* The given rows in the order of a column: one pass over all rows, no sort. */
  geor1.inOrder = function (data, rows, name, descending) {
    const all = geor1.sortedRows(data, name, descending), wanted = new Uint8Array(data.n), result = new Uint32Array(rows.length);
    for (let k = 0; k < rows.length; k++) wanted[rows[k]] = 1;
    let at = 0;
    for (let k = 0; k < all.length; k++) if (wanted[all[k]]) result[at++] = all[k];
    return result;
  };

  /* What the table lists: rows of state.inWindow in the table's order. Not to be written to. */
  geor1.tableOrder = function (data, state) {
    const rows = state.inWindow, name = state.get("sort"), descending = state.get("descending");
    const last = orders.get(state);
    if (last && last.rows === rows && last.name === name && last.descending === descending) return last.order;
    const order = geor1.inOrder(data, rows, name, descending);
    orders.set(state, { rows, name, descending, order });
    return order;
  };

  /* Select the row `by` places further down the table (negative: up), round the ends; from a row not listed, the first or last. */
  geor1.step = function (data, state, by) {
    const order = geor1.tableOrder(data, state);
    if (!order.length) return;
    const at = order.indexOf(state.get("selected"));
    const to = at < 0 ? (by > 0 ? 0 : order.length - 1) : (at + by + order.length) % order.length;
    state.set({ selected: order[to] });
  };
})();
