"use strict";
/* The filtered rows as files: CSV (RFC 4180) and GeoJSON (RFC 7946), in the table's order. */
(function () {
  const KEEP_MS = 60000; // a download may ask where to save first
  const SLICE_MS = 12, TELL_MS = 500, PIECE_CHARACTERS = 1 << 20;

  /* The shortest decimal that reads back as the same 32-bit float: 121.47001, not 121.47000885. */
  geor1.decimal = function (value) {
    if (!Number.isFinite(value)) return null;
    for (let digits = 6; digits < 9; digits++) {
      const short = Number(value.toPrecision(digits));
      if (Math.fround(short) === value) return short;
    }
    return Number(value.toPrecision(9));
  };

  /* What stands in a row: [name with its unit, value(i)] with values string, number, boolean or null. */
  geor1.exportColumns = function (data) {
    const { col, tables, header } = data, float = (name) => (i) => geor1.decimal(col[name][i]);
    const entry = (name) => (i) => tables[name][col[name][i]], whole = (name) => (i) => col[name][i];
    const used = new Set();
    const own = (name) => { // two slices or reward terms may share a name
      let free = name;
      for (let k = 2; used.has(free); k++) free = name + "_" + k;
      used.add(free);
      return free;
    };
    return [
      ["model", entry("model")], ["task", (i) => col.task[i] ? "pairing" : "geolocation"], ["condition", entry("condition")],
      ["item", (i) => data.item(i)], ["rotation", whole("rotation")], ["sample", whole("sample")], ["status", entry("status")],
      ["outcome", (i) => data.outcome(i)], ["true_place", (i) => data.place(i)], ["true_latitude_deg", float("tlat")],
      ["true_longitude_deg", float("tlon")], ["country", entry("country")], ["continent", entry("continent")], ["climate", entry("climate")],
      ["predicted_place", (i) => data.guessed(i)], ["predicted_latitude_deg", float("plat")], ["predicted_longitude_deg", float("plon")],
      ["error_km", float("km")], ["choice", (i) => data.letter("choice", i)], ["answer", (i) => data.letter("answer", i)],
      ["facts_true", whole("facts_true")], ["facts_stated", whole("facts_stated")],
      ["completion_tokens", (i) => col.tokens[i] < 0 ? null : col.tokens[i]], ["finished", (i) => col.finished[i] === 1],
      ...header.rewards.map((name, k) => [own("reward_" + name), float("reward:" + k)]),
      ...header.slices.map((slice) => [own("slice_" + slice.name), (i) => tables[slice.table][col[slice.column][i]]]),
    ];
  };

  /* A spreadsheet takes a text cell that begins with = + - @ tab or CR for a formula, and a completion could hold one
     that reads other cells or opens a link. A leading apostrophe makes it text. One that stands before such a sign
     already is doubled, so that readers get the text back by taking one away from before '…= + - @ tab CR. */
  const defused = (text) => /^'*[=+\-@\t\r]/.test(text) ? "'" + text : text;

  function cell(value) {
    if (value === null) return "";
    if (typeof value !== "string") return String(value);
    const text = defused(value);
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  }

  /* Pieces of a CSV file, one after the other: a header, then a line a row, ended by CR LF. */
  geor1.csv = function* (data, rows) {
    const columns = [...geor1.exportColumns(data), ["completion", (i) => data.text(i)]];
    yield columns.map(([name]) => cell(name)).join(",") + "\r\n";
    for (const i of rows) yield columns.map(([, value]) => cell(value(i))).join(",") + "\r\n";
  };

  /* Longitude first. A line of one piece is a LineString, one cut at the antimeridian a MultiLineString. */
  function arc(data, i) {
    const ends = ["tlat", "tlon", "plat", "plon"].map((name) => geor1.decimal(data.col[name][i]));
    const lines = geor1.arc(...ends).map((flat) => {
      const line = [];
      for (let k = 0; k < flat.length; k += 2) line.push([rounded(flat[k]), rounded(flat[k + 1])]);
      return line;
    });
    return lines.length === 1 ? { type: "LineString", coordinates: lines[0] } : { type: "MultiLineString", coordinates: lines };
  }

  const rounded = (degrees) => Math.round(degrees * 1e6) / 1e6;

  /* Samples that GeoJSON has no place for. */
  geor1.unplaced = (data, rows) => rows.reduce((count, i) => count + !(data.hasTruth(i) || data.hasGuess(i)), 0);

  /* Pieces of a FeatureCollection, the first its head, then one a row: a point for the truth, one for the prediction, the
     arc between; equal properties but for `role`. */
  geor1.geojson = function* (data, rows) {
    const columns = geor1.exportColumns(data);
    const note = { title: data.header.title, samples: rows.length, samples_without_position: geor1.unplaced(data, rows) };
    let first = true;
    yield '{"type":"FeatureCollection","geor1":' + JSON.stringify(note) + ',"features":[\n';
    for (const i of rows) {
      const truth = data.hasTruth(i), answered = data.hasGuess(i), geometries = [];
      const point = (lat, lon) => ({ type: "Point", coordinates: [geor1.decimal(data.col[lon][i]), geor1.decimal(data.col[lat][i])] });
      if (truth) geometries.push(["truth", point("tlat", "tlon")]);
      if (answered) geometries.push(["prediction", point("plat", "plon")]);
      if (truth && answered) geometries.push(["arc", arc(data, i)]);
      const properties = JSON.stringify(Object.fromEntries(columns.map(([name, value]) => [name, value(i)]))).slice(1);
      let piece = "";
      for (const [role, geometry] of geometries) {
        piece += (first ? "" : ",\n") + '{"type":"Feature","geometry":' + JSON.stringify(geometry)
          + ',"properties":{"role":"' + role + '",' + properties + "}";
        first = false;
      }
      yield piece;
    }
    yield "\n]}\n";
  };

  /* All pieces as a Blob, written in slices between which the page stays usable; `told` hears how many there are. */
  geor1.written = async function (pieces, type, told) {
    const parts = [];
    let text = "", count = 0, end = performance.now() + SLICE_MS;
    for (const piece of pieces) {
      text += piece;
      count++;
      if (text.length >= PIECE_CHARACTERS) { parts.push(new Blob([text])); text = ""; }
      if (performance.now() < end) continue;
      told(count);
      await new Promise((done) => setTimeout(done, 0));
      end = performance.now() + SLICE_MS;
    }
    return new Blob([...parts, text], { type });
  };

  function save(blob, name) {
    const address = URL.createObjectURL(blob), link = geor1.element("a");
    link.href = address;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), KEEP_MS);
  }

  geor1.makeExport = function (root, data, state) {
    const bar = geor1.element("div", "export-bar"), note = geor1.element("output", "export-note");
    const plain = data.header.title.normalize("NFKD").replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "");
    const stem = (plain.slice(0, 60) || "samples").toLowerCase();
    const listed = () => geor1.inOrder(data, state.shown, state.get("sort"), state.get("descending"));
    const samples = (n) => geor1.number(n) + (n === 1 ? " sample" : " samples");
    note.setAttribute("aria-live", "polite");
    let busy = false;

    /* The rows as they are now, whatever is filtered while they are written. */
    async function write(make, type, ending, said) {
      const rows = listed();
      let heard = 0;
      busy = true;
      enable();
      try {
        const blob = await geor1.written(make(data, rows), type, (count) => {
          if (performance.now() < heard + TELL_MS) return; // a live region that speaks at every slice tells nothing
          heard = performance.now();
          note.textContent = "writing: " + geor1.number(Math.min(count, rows.length)) + " of " + samples(rows.length);
        });
        save(blob, stem + ending);
        note.textContent = said(rows);
      } finally {
        busy = false;
        enable();
      }
    }

    const csv = () => write(geor1.csv, "text/csv;charset=utf-8", ".csv", (rows) => samples(rows.length)
      + " written. Text that begins like a formula has an apostrophe before it, or spreadsheets would run it.");

    const geojson = () => write(geor1.geojson, "application/geo+json", ".geojson", (rows) => {
      const without = geor1.unplaced(data, rows);
      return samples(rows.length - without) + " written (completions are in the CSV)"
        + (without ? "; " + geor1.number(without) + " without any position left out." : ".");
    });

    const buttons = [geor1.button("", "CSV", csv), geor1.button("", "GeoJSON", geojson)];
    function enable() { for (const button of buttons) button.disabled = busy || !state.shown.length; }
    bar.append("Samples shown: ", ...buttons);
    root.append(bar, note);
    return {
      update(changed) {
        if (!changed.has("rows")) return;
        if (!busy) note.textContent = "";
        enable();
      },
    };
  };
})();
