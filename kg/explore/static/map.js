"use strict";
// The map of all songs, drawn by Plotly in WebGL in the colours of the page.
(() => {
  const box = document.getElementById("map"), wait = document.getElementById("wait");
  const chosen = document.getElementById("chosen");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // Twelve that stand out from the page and from each other, as in a report.
  const COLOURS = {
    light: ["#0072b2", "#d55e00", "#00875f", "#b5478b", "#a67500", "#2b83ba", "#6a51a3",
            "#a50f15", "#4d7f17", "#00838f", "#7f5539", "#e0218a"],
    dark: ["#56b4e9", "#ff8c42", "#2fcb9a", "#f49ac9", "#f0c419", "#9ecae1", "#b39dff",
           "#ff6b6b", "#b5e550", "#4dd0e1", "#d7a97a", "#ff5fb7"],
  };
  const SHAPES = ["circle", "square", "diamond", "triangle-up"];
  const MANY = 20000, SEVERAL = 2000;
  const variable = name =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let songs = null;

  const points = (name, rows, marker) => ({
    type: "scattergl", mode: "markers", name, marker, customdata: rows,
    x: rows.map(row => songs.x[row]), y: rows.map(row => songs.y[row]),
    text: rows.map(row => songs.text[row]), hovertemplate: "%{text}<extra></extra>",
  });
  const traces = by => {
    const colours = COLOURS[dark.matches ? "dark" : "light"], muted = variable("--muted");
    const count = songs.ids.length, groups = songs.names.map(() => []);
    songs[by].forEach((genre, row) => groups[genre].push(row));
    const drawn = groups.map((rows, at) => {
      const coloured = at < songs.coloured;
      const shape = coloured ? SHAPES[at % 4] : "circle-open";
      return points(songs.names[at], rows, {
        size: count > MANY ? 3 : count > SEVERAL ? 5 : 9, opacity: 0.8,
        color: coloured ? colours[at] : muted, symbol: count > SEVERAL ? "circle" : shape,
      });
    }).filter(trace => trace.x.length);
    const row = songs.ids.indexOf(box.dataset.song);
    if (row >= 0) {
      drawn.push(points("this song", [row], {
        size: 22, color: variable("--ink"), symbol: "circle-open", line: {width: 3},
      }));
    }
    return drawn;
  };

  const draw = () => {
    const width = Math.floor(box.getBoundingClientRect().width) - 2, wide = width > 760;
    const height = wide ? Math.max(420, Math.min(width, innerHeight - 240)) : width + 130;
    const ink = variable("--ink"), line = variable("--line"), ground = variable("--ground");
    const by = document.querySelector("input[name=by]:checked").value;
    const legend = {itemsizing: "constant", font: {size: wide ? 13 : 12}};
    const axis = {visible: false, range: [-1.05, 1.05]};
    Plotly.react(box, traces(by), {
      width, height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {family: "system-ui, sans-serif", size: 13, color: ink},
      hoverlabel: {bgcolor: ground, bordercolor: line, font: {color: ink, size: 13}, align: "left"},
      margin: {l: 4, r: 4, t: 4, b: 4}, hovermode: "closest", dragmode: "pan", uirevision: "kept",
      showlegend: true,
      legend: wide ? {...legend, x: 1, y: 1}
        : {...legend, orientation: "h", x: 0, y: -0.02, xanchor: "left", yanchor: "top"},
      xaxis: axis, yaxis: {...axis, scaleanchor: "x", scaleratio: 1},
    }, {displayModeBar: false, scrollZoom: true, doubleClick: "reset", responsive: false});
  };

  const keep = row => {
    const link = document.createElement("a");
    link.href = `/song/${songs.ids[row]}`;
    // Lines are escaped for Plotly: this is the text as it was.
    const [title, ...more] = songs.text[row].split("<br>").map(
      text => new DOMParser().parseFromString(text, "text/html").body.textContent);
    link.textContent = title;
    chosen.hidden = false;
    chosen.replaceChildren(link, ...more.map(text => ` · ${text}`));
  };

  const say = sentence => {
    wait.className = "missing";
    wait.textContent = sentence;
  };
  const ask = async () => {
    let answer, told;
    try {
      answer = await fetch("/map/points");
      told = await answer.json();
    } catch {
      say("kg explore doesn't answer any more: is it still running?");
      return;
    }
    if (answer.status === 202) {
      setTimeout(ask, 700);
      return;
    }
    if (!answer.ok) {
      say(told.error);
      return;
    }
    songs = told;
    wait.remove();
    draw();
    box.setAttribute(
      "aria-label", `A map of ${songs.ids.length} songs: those that sound alike are neighbours.`);
    box.on("plotly_click", event => keep(event.points[0].customdata));
    const row = songs.ids.indexOf(box.dataset.song);
    if (row >= 0) keep(row);
    box.dataset.drawn = songs.ids.length;
  };
  for (const input of document.querySelectorAll("input[name=by]")) {
    input.addEventListener("change", () => songs && draw());
  }
  dark.addEventListener("change", () => songs && draw());
  let later = 0, last = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === last || !songs) return;
    last = innerWidth;
    clearTimeout(later);
    later = setTimeout(draw, 150);
  });
  ask();
})();
