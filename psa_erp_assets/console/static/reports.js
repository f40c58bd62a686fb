// Draws the charts of the report pages with plotly.js. Each chart's numbers are in its data-chart attribute, and in the
// table beside it for those who see no chart. Colors are those of the style sheet, in light and dark.
"use strict";

(() => {
  const charts = [...document.querySelectorAll("[data-chart]")];
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = { money: "~s", share: ".0%", days: "~s", number: "~s", minutes: "~s" };
  const exact = { money: ",.2f", share: ".1%", days: ",.1f", number: ",d", minutes: ",d" };

  // What tells names apart is often at their end, such as an id in brackets: that stays.
  function cut(name, most) {
    if (name.length <= most) {
      return name;
    }
    const end = name.endsWith(")") ? name.slice(name.lastIndexOf(" (")) : "";
    return name.slice(0, Math.max(6, most - 1 - end.length)) + "…" + end;
  }

  function trace(data, series, at) {
    const colors = [1, 2, 3, 4].map((n) => style(`--series-${n}`));
    const color = series.alarm ? style("--bad") : colors[at % colors.length];
    const along = data.sideways;
    const common = {
      name: series.name,
      [along ? "y" : "x"]: data.x,
      [along ? "x" : "y"]: series.values,
      customdata: series.links,
      hovertemplate: `%{${along ? "x" : "y"}:${exact[series.unit]}}${series.unit === "money" ? " " + (data.currency || "") : ""}<extra>${series.name}</extra>`,
    };
    if (data.waterfall) {
      return {
        ...common,
        type: "waterfall",
        measure: data.x.map((step, n) => (n === 0 ? "absolute" : data.totals.includes(step) ? "total" : "relative")),
        connector: { line: { color: style("--line"), width: 1 } },
        totals: { marker: { color: colors[0] } },
        increasing: { marker: { color: style("--good") } },
        decreasing: { marker: { color: style("--bad") } },
        text: series.values,
        texttemplate: "%{text:.3~s}",
        textposition: "outside",
        cliponaxis: false,
      };
    }
    if (series.kind === "line") {
      return { ...common, type: "scatter", mode: "lines+markers", line: { color, width: 2.5 }, marker: { color, size: 7 } };
    }
    return { ...common, type: "bar", ...(along && { orientation: "h" }), marker: { color, cornerradius: 3 } };
  }

  function layout(data, place) {
    const bars = data.series.filter((series) => series.kind === "bar");
    const lines = data.series.filter((series) => series.kind === "line");
    const second = bars.length > 0 && lines.length > 0;
    const axis = { gridcolor: style("--line"), zerolinecolor: style("--line"), linecolor: style("--line"), fixedrange: true, automargin: true };
    // There is no half of an item.
    const few = (unit) => unit === "number" && data.series.every((series) => series.values.every((value) => Math.abs(value) < 6));
    const values = (unit) => ({ ...axis, type: "linear", tickformat: short[unit], rangemode: "tozero", nticks: 6, ...(few(unit) && { dtick: 1 }) });
    const names = { ...axis, type: "category", showgrid: false };
    const longest = Math.max(0, ...data.x.map((name) => name.length));
    const made = {
      height: data.sideways ? Math.max(150, 70 + data.x.length * (bars.length > 1 ? 40 : 27)) : 290,
      margin: { l: 8, r: 12, t: 12, b: 8 },
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: style("--quiet") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      barmode: data.stacked ? "stack" : "group",
      bargap: data.sideways ? (data.x.length === 1 ? 0.6 : 0.28) : { 1: 0.8, 2: 0.62, 3: 0.5 }[data.x.length] || 0.3,
      hoverlabel: { bgcolor: style("--surface"), bordercolor: style("--line"), font: { color: style("--text") } },
      showlegend: data.series.length > 1,
      legend: { orientation: "h", x: 0, y: 1.03, yanchor: "bottom", traceorder: "normal", itemclick: false, itemdoubleclick: false },
      separators: ".,",
    };
    if (data.sideways) {
      made.yaxis = { ...names, autorange: "reversed", ticklabelstandoff: 6 };
      const most = place.clientWidth < 500 ? 18 : 44;
      if (longest > most) {
        made.yaxis.tickvals = data.x;
        made.yaxis.ticktext = data.x.map((name) => cut(name, most));
      }
      made.xaxis = values(bars[0].unit);
    } else {
      made.xaxis = names;
      made.yaxis = values((bars[0] || lines[0]).unit);
      if (second) {
        made.yaxis2 = { ...values(lines[0].unit), overlaying: "y", side: "right", showgrid: false, tickmode: "auto" };
        made.margin.r = 8;
      }
    }
    return [made, second];
  }

  function draw(place) {
    const data = JSON.parse(place.dataset.chart);
    const [made, second] = layout(data, place);
    const traces = data.series.map((series, at) => ({
      ...trace(data, series, at),
      ...(second && series.kind === "line" && { yaxis: "y2" }),
    }));
    const options = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };
    window.Plotly.react(place, traces, made, options).then(() => {
      place.dataset.drawn = "yes";
      if (!place.dataset.listens) {
        place.dataset.listens = "yes";
        place.on("plotly_click", (event) => {
          const link = event.points[0].customdata;
          if (link) window.location.assign(link);
        });
      }
    });
  }

  function drawAll() {
    charts.forEach(draw);
  }

  if (window.Plotly) {
    drawAll();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  }
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
})();
