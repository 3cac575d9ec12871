"use strict";
/* Which rows hold a query: every string is decoded and folded once, and searched once a query. */
(function () {
  const STORES = ["item", "label", "text"], SLICE_MS = 8;
  const indices = new WeakMap(); // data -> Index

  /* Case and Latin, Greek and Cyrillic accents do not count: "sao paulo" finds "São Paulo". */
  geor1.fold = function (text) {
    const lower = text.toLowerCase();
    return /[^\x00-\x7f]/.test(lower) ? lower.normalize("NFKD").replace(/[\u0300-\u036f]+/g, "") : lower;
  };

  /* Words that must all occur, in any order; "several words" in double quotes stand together. */
  geor1.searchTerms = function (query) {
    const terms = [];
    for (const [, phrase, word] of query.matchAll(/"([^"]*)(?:"|$)|([^\s"]+)/g)) {
      const term = geor1.fold(phrase === undefined ? word : phrase).trim();
      if (term) terms.push(term);
    }
    return [...new Set(terms)];
  };

  class Index {
    constructor(data) {
      this.data = data;
      this.folded = Object.fromEntries(STORES.map((store) => [store, []]));
      this.size = Object.fromEntries(STORES.map((store) => [store, Math.max(0, data.col[store + ".offsets"].length - 1)]));
      this.key = null; // of `result`
      this.result = null;
    }

    /* Decode on, for about `budget` ms; whether all is decoded. */
    advance(budget) {
      const end = performance.now() + budget;
      for (const store of STORES) {
        const folded = this.folded[store];
        while (folded.length < this.size[store]) {
          folded.push(geor1.fold(this.data.label(store, folded.length)));
          if (folded.length % 64 === 0 && performance.now() > end) return false;
        }
      }
      return true;
    }

    hits(store, term) {
      const folded = this.folded[store], found = new Uint8Array(folded.length);
      for (let k = 0; k < folded.length; k++) if (folded[k].includes(term)) found[k] = 1;
      return found;
    }

    matches(query, answers) {
      const key = answers + query;
      if (key === this.key) return this.result;
      const { col, n } = this.data, result = new Uint8Array(n).fill(1);
      const terms = geor1.searchTerms(query);
      if (terms.length) this.advance(Infinity);
      for (const term of terms) {
        const item = this.hits("item", term), label = this.hits("label", term), text = answers ? this.hits("text", term) : null;
        for (let i = 0; i < n; i++)
          result[i] &= item[col.item[i]] | label[col.place[i]] | (answers ? label[col.guessed[i]] | text[col.text[i]] : 0);
      }
      this.key = key;
      this.result = result;
      return result;
    }
  }

  function indexOf(data) {
    if (!indices.has(data)) indices.set(data, new Index(data));
    return indices.get(data);
  }

  /* 1 for each row whose item or true place, and with `answers` guessed place or completion, hold every term of the query.
     Not to be written to. */
  geor1.matches = (data, query, answers = true) => indexOf(data).matches(query, answers);

  /* Decode in slices between other work, so that the first query need not wait for it. */
  geor1.prepareSearch = function (data) {
    const index = indexOf(data);
    if (index.preparing) return;
    index.preparing = true;
    const step = () => { if (!index.advance(SLICE_MS)) setTimeout(step, 0); };
    setTimeout(step, 0);
  };
})();
