"use strict";
// Draws the charts of a report in the colours of the page, light, dark or on paper.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  if (typeof Plotly === "undefined") return;
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
  const coloured = value => {
    if (typeof value === "string" && /^@(\d+|muted)$/.test(value)) {
      return value === "@muted" ? variable("--muted") : COLOURS[theme()][Number(value.slice(1))];
    }
    if (Array.isArray(value)) return value.map(coloured);
    if (value && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([key, own]) =>
          [key, ["x", "y", "text", "customdata"].includes(key) ? own : coloured(own)]));
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
      margin: {l: 8, r: 8, t: 8, b: 8}, height, width,
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

  const draw = () => {
    for (const [name, chart] of Object.entries(charts)) {
      const box = document.getElementById(`chart-${name}`);
      const width = Math.floor(box.getBoundingClientRect().width);
      if (width < 50) continue;
      const pan = chart.figure.layout.dragmode === "pan";
      // A map is as high as it is wide, with room for its genres.
      const height = pan ? Math.min(chart.height, width + 120) : chart.height;
      box.style.height = `${height}px`;
      Plotly.react(box, coloured(chart.figure.data), layout(chart.figure.layout, height, width),
                   {...config, scrollZoom: pan});
    }
  };
  let waiting = 0, last = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === last) return;
    last = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(draw, 150);
  });
  dark.addEventListener("change", draw);
  print.addEventListener("change", draw);
  addEventListener("beforeprint", () => {
    paper = true;
    for (const each of document.querySelectorAll("details")) each.dataset.was = each.open;
    draw();
  });
  addEventListener("afterprint", () => { paper = false; draw(); });
  draw();
})();
