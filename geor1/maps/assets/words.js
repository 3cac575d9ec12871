"use strict";
/* The card's words: the verdict on an answer, why none could be used, and the parts of a completion with their facts. */
(function () {
  const MOST_PARTS = 400; // a completion of nothing but tags must not make as many elements

  /* Statuses of geor1.answers.ParseFailure and geor1.asking.backends, in words. */
  const REASONS = {
    no_answer: "it holds no <answer> block",
    unfinished: "its last <answer> block is never closed",
    hedged: "it names more than one option or place, or takes back the one it named",
    unknown_option: "its answer names none of the options",
    empty: "nothing was generated, or the <answer> block is empty",
    no_coordinates: "its answer holds no readable latitude and longitude",
    answer_too_long: "its <answer> block is too long to be an answer",
    out_of_range: "its latitude lies outside [-90, 90] or its longitude outside [-180, 180]",
    refused: "the provider's filter withheld it",
    api_error: "the server failed or refused the request at every attempt",
    timeout: "no whole reply came in time",
    broken_reply: "the reply was cut off or not a chat completion",
    context_length: "prompt and pictures do not fit the model's context",
  };

  /* Why an answer is unusable, as the rest of "Unusable: …". */
  geor1.reason = function (status) {
    if (Object.hasOwn(REASONS, status)) return REASONS[status];
    return status === "ok" ? "it was read, but names no usable option or position" : status.replace(/_/g, " ");
  };

  /* How a row came out, in a few words, without decoding its strings. */
  geor1.outcomeWords = function (data, i) {
    const outcome = data.outcome(i), km = data.number("km", i);
    if (outcome === "unusable") return "unusable";
    if (data.col.task[i] === 0) return km === null ? "truth unknown" : geor1.kilometres(km) + " off";
    const chosen = data.letter("choice", i);
    if (outcome === "right") return "✓ " + chosen + " is right";
    return "✗ chose " + chosen + ", right is " + (data.letter("answer", i) ?? "unknown");
  };

  /* The completion in parts [{kind: "think" | "answer" | "plain", begin, end}], tags included, without a gap. */
  geor1.parts = function (text) {
    const parts = [], tag = /<\s*(\/?)\s*(think|answer)\s*>/gi;
    let kind = "plain", begin = 0, match;
    const close = (end) => { if (end > begin) parts.push({ kind, begin, end }); begin = Math.max(begin, end); };
    while (parts.length < MOST_PARTS && (match = tag.exec(text))) {
      const name = match[2].toLowerCase();
      if (match[1]) { close(tag.lastIndex); kind = "plain"; } // a stray closing tag ends what stood before it
      else { close(match.index); kind = name; }
    }
    close(text.length);
    return parts;
  };

  /* Facts in the order of the text, inside it and not overlapping, whatever was handed over. */
  geor1.orderedMarks = function (marks, length) {
    const kept = [];
    let at = 0;
    for (const { begin, end, holds } of [...marks].sort((a, b) => a.begin - b.begin || b.end - a.end)) {
      if (begin < at || end <= begin || end > length) continue;
      kept.push({ begin, end, holds });
      at = end;
    }
    return kept;
  };

  /* One part as an element: plain text, with the tags dimmed and each stated fact in a <mark>. */
  geor1.partElement = function (text, { kind, begin, end }, marks) {
    const box = geor1.element("div", "card-part " + kind), tag = /<\s*\/?\s*(?:think|answer)\s*>/gi;
    box.dir = "auto"; // an isolated paragraph, in its own direction
    const plain = (from, to) => {
      const piece = text.slice(from, to);
      let at = 0;
      for (const match of kind === "plain" ? [] : piece.matchAll(tag)) {
        if (match.index > at) box.append(piece.slice(at, match.index));
        box.append(geor1.element("span", "card-tag", match[0]));
        at = match.index + match[0].length;
      }
      if (at < piece.length) box.append(piece.slice(at));
    };
    let at = begin;
    for (const mark of marks) {
      if (mark.end <= begin || mark.begin >= end) continue;
      const from = Math.max(begin, mark.begin), to = Math.min(end, mark.end);
      plain(at, from);
      const node = geor1.element("mark", "fact " + (mark.holds ? "true" : "false"), text.slice(from, to));
      node.title = mark.holds ? "stated fact, true" : "stated fact, false";
      box.append(node);
      at = to;
    }
    plain(at, end);
    return box;
  };
})();
