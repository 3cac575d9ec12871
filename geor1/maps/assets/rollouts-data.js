"use strict";
/* The rollouts behind the page: plain objects of a step, a group and a completion, from typed columns. */
(function () {
  const NONE = 255, NO_TEXT = 0xffffffff;
  const MINUS = "\u2212";

  geor1.drawing = function (tag, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
    return node;
  };

  /* 1,234; 0.25; −0.0031: three significant digits below one, a true minus sign. */
  geor1.figure = function (value, signed) {
    if (value === null || !Number.isFinite(value)) return "none";
    const size = Math.abs(value), digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 || size === 0 ? 3 : 4;
    let text = size.toLocaleString("en-GB", { maximumFractionDigits: digits });
    if (text === "0" && size > 0) text = size.toExponential(1).replace("-", MINUS);
    return (value < 0 ? MINUS : signed && value > 0 ? "+" : "") + text;
  };

  geor1.counted = (count, one, many) => count.toLocaleString("en-GB") + " " + (count === 1 ? one : many || one + "s");

  geor1.RolloutData = class extends geor1.Data {
    constructor(buffer, pictures) {
      super(buffer, pictures);
      Object.assign(this, { steps: this.header.steps, groups: this.header.groups, size: this.header.group_size }); // size: G
    }

    named(letter) { return letter === NONE ? "" : this.tables.letter[letter]; }

    /* Group indices [first, end) of a logged step; none where the page had no room for them. */
    range(step) { return [this.col["step.start"][step], this.col["step.start"][step + 1]]; }

    groupsOf(step) {
      const [first, end] = this.range(step);
      return Array.from({ length: end - first }, (_, k) => first + k);
    }

    counts(step) { return { tied: this.col["step.tied"][step], untied: this.col["step.untied"][step] }; }

    stepNumber(step) { return this.col["step.number"][step]; }

    /* The logged step nearest to an optimiser step; the earlier of two that are as near. */
    nearest(number) {
      const numbers = this.col["step.number"];
      let low = 0, high = numbers.length - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (numbers[middle] < number) low = middle + 1; else high = middle;
      }
      return low > 0 && number - numbers[low - 1] <= Math.abs(numbers[low] - number) ? low - 1 : low;
    }

    /* The logged step nearest to a logged step that keeps its texts, or -1. */
    nearestText(step) {
      const kept = this.col["step.texts"];
      for (let by = 0; by < this.steps; by++) {
        if (kept[step - by] && this.range(step - by)[1] > this.range(step - by)[0]) return step - by;
        if (kept[step + by] && this.range(step + by)[1] > this.range(step + by)[0]) return step + by;
      }
      return -1;
    }

    hasPosition(group) { return Number.isFinite(this.col["group.lat"][group]); }

    group(index) {
      const c = (name) => this.col["group." + name][index];
      return {
        index, step: c("step"), question: this.label("item", c("question")), place: this.label("label", c("place")),
        lat: c("lat"), lon: c("lon"), tied: c("tied") === 1, verdict: this.header.verdicts[c("verdict")],
        answer: this.named(c("answer")), mean: c("mean"), spread: c("spread"),
      };
    }

    pictures(group) {
      const set = this.col["group.picset"][group], found = [];
      for (let k = this.col["picset.start"][set]; k < this.col["picset.start"][set + 1]; k++)
        found.push({ tile: this.col["pic.role"][k] === 1, letter: this.named(this.col["pic.letter"][k]), thumb: this.col["pic.thumb"][k] });
      return found;
    }

    completion(index) {
      const text = this.col.text[index];
      return {
        index, number: (index % this.size) + 1, advantage: this.col.advantage[index], total: this.col.total[index],
        choice: this.named(this.col.choice[index]), status: this.tables.status[this.col.status[index]],
        characters: this.col.characters[index], text: text === NO_TEXT ? null : this.label("text", text),
        rewards: this.header.terms.map((term, k) => ({ ...term, value: this.col["reward:" + k][index] })),
      };
    }

    /* Completions of a group: as sampled, or by a key, largest or smallest first. */
    completions(group, order) {
      const rows = Array.from({ length: this.size }, (_, k) => this.completion(group * this.size + k));
      const sorts = { high: (a, b) => b.advantage - a.advantage, low: (a, b) => a.advantage - b.advantage, long: (a, b) => b.characters - a.characters };
      return sorts[order] ? rows.sort(sorts[order]) : rows;
    }

    /* How often a test holds over the groups of the page; the next group, round the end, for which it does, or -1. */
    count(test) {
      let found = 0;
      for (let g = 0; g < this.groups; g++) found += test(g) ? 1 : 0;
      return found;
    }

    next(from, by, test) {
      for (let k = 1; k <= this.groups; k++) {
        const g = (((from + by * k) % this.groups) + this.groups) % this.groups;
        if (test(g)) return g;
      }
      return -1;
    }

    curves() {
      return this.header.curves.map((curve, k) => ({ ...curve, steps: this.col["curve:" + k + ".step"], values: this.col["curve:" + k + ".value"] }));
    }
  };
})();
