"use strict";
// Draws the charts of a report in the colours of the page, light, dark or on paper.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const print = matchMedia("print");
  let paper = false;

  // Twelve that stand out from the page and from each other, also without red or green.
  const COLOURS = {
    light: ["#0072b2", "#d55e00", "#00875f", "#b5478b", "#a67500", "#2b83ba", "#6a51a3",
            "#a50f15", "#4d7f17", "#00838f", "#7f5539", "#e0218a"],
    dark: ["#56b4e9", "#ff8c42", "#2fcb9a", "#f49ac9", "#f0c419", "#9ecae1", "#b39dff",
           "#ff6b6b", "#b5e550", "#4dd0e1", "#d7a97a", "#ff5fb7"],
  };
  const theme = () => (dark.matches && !paper && !print.matches ? "dark" : "light");
  const variable = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = name =>
    name === "@muted" ? variable("--muted") : COLOURS[theme()][Number(name.slice(1))];
  // Nothing but what is called a colour is one: names and titles may read like any.
  const coloured = (value, key) => {
    if (key === "color") return colour(value);
    if (Array.isArray(value)) {
      return typeof value[0] === "object" ? value.map(each => coloured(each)) : value;
    }
    if (value && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([key, own]) => [key, coloured(own, key)]));
    }
    return value;
  };
  const axis = (own, ink, grid) => ({
    automargin: true, gridcolor: grid, linecolor: grid, zerolinecolor: grid, zeroline: false,
    fixedrange: true, ...own, title: {...own.title, standoff: 12, font: {size: 13, color: ink}},
  });
  const layout = (own, height, width) => {
    const ink = variable("--ink"), grid = variable("--line"), ground = variable("--ground");
    const narrow = width < 560;
    const full = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {family: "system-ui, sans-serif", size: 13, color: ink},
      hoverlabel: {bgcolor: ground, bordercolor: grid, font: {color: ink, size: 13}, align: "left"},
      margin: {l: 8, r: 22, t: 8, b: 8}, height, width,
      legend: {orientation: "h", x: 0, y: -0.02, xanchor: "left", yanchor: "top",
               font: {size: narrow ? 12 : 13}, itemsizing: "constant"},
      hovermode: "closest", ...coloured(own),
    };
    for (const key of Object.keys(full).filter(key => /^[xy]axis\d*$/.test(key))) {
      full[key] = axis(full[key], ink, grid);
    }
    if (full.dragmode === "pan") {
      full.xaxis.fixedrange = full.yaxis.fixedrange = false;
    } else {
      full.dragmode = false;
      // Below the axis and its title.
      full.legend = {...full.legend, y: 1.02, yanchor: "bottom"};
    }
    return full;
  };
  const config = {displaylogo: false, displayModeBar: false, responsive: false, doubleClick: "reset"};

  // A map is as high as its songs ask for, with room for the names of their genres.
  const mapHeight = (chart, width) => {
    const {xaxis, yaxis} = chart.figure.layout, names = chart.figure.data.map(each => each.name);
    const high = width * Math.max(yaxis.range[1] / xaxis.range[1], .3);
    const columns = Math.max(1, Math.floor(width / (44 + 7 * Math.max(...names.map(n => n.length)))));
    return Math.round(Math.min(chart.height - 60, high)) + 30 + 20 * Math.ceil(names.length / columns);
  };

  const draw = () => {
    for (const [name, chart] of Object.entries(charts)) {
      const box = document.getElementById(`chart-${name}`);
      const width = Math.floor(box.getBoundingClientRect().width);
      if (width < 50) continue;
      const pan = chart.figure.layout.dragmode === "pan";
      const height = pan ? mapHeight(chart, width) : chart.height;
      box.style.height = `${height}px`;
      Plotly.react(box, coloured(chart.figure.data), layout(chart.figure.layout, height, width),
                   {...config, scrollZoom: pan});
    }
  };
  // What scrolls can be scrolled by keys; nothing else stops those who go by them.
  const reach = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1;
    }
  };
  let waiting = 0, last = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === last) return;
    last = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => { draw(); reach(); }, 150);
  });
  dark.addEventListener("change", draw);
  print.addEventListener("change", draw);
  addEventListener("beforeprint", () => {
    paper = true;
    draw();
  });
  addEventListener("afterprint", () => { paper = false; draw(); });
  draw();
  reach();
})();
