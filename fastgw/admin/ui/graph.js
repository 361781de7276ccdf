// Graphs over the last hour, as SVG. Owns: axes and lines. Must not know: where points come from.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 480, HEIGHT = 144, LEFT = 44, BOTTOM = 20, TOP = 10;

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function short(value) {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)}M`;
  if (value >= 1e4) return `${(value / 1e3).toPrecision(3)}k`;
  if (value >= 100) return value.toFixed(0);
  return String(+value.toPrecision(3));
}

// The next of 1, 2, 5, 10, 20, … that is not below it.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}

// From the first point on, as long as there is no hour of them. lines: [[name, member of a point], …]; a point without the member leaves a gap.
function graph(title, unit, points, lines, hourEnd) {
  const figure = document.createElement("figure");
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" });
  const top = ceiling(Math.max(0, ...points.flatMap((point) => lines.map(([, member]) => point[member] ?? 0))));
  const span = Math.min(3600, Math.max(300, points.length ? hourEnd - points[0].time : 0));
  const x = (time) => LEFT + (WIDTH - LEFT - 4) * (1 - (hourEnd - time) / span);
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value / top);
  const last = points[points.length - 1];
  const said = lines.map(([name, member]) => `${name} ${last && last[member] !== null ? short(last[member]) : "none"}`);
  svg.setAttribute("aria-label", `${title}, last hour, at most ${short(top)} ${unit}; now ${said.join(", ")}`);
  for (const share of [0, 0.5, 1]) {
    const at = y(top * share);
    svg.append(shape("line", { x1: LEFT, x2: WIDTH - 4, y1: at, y2: at, class: "grid" }));
    svg.append(shape("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, short(top * share)));
  }
  const step = [1, 2, 5, 10, 15].find((each) => each * 60 * 4.5 >= span) ?? 15;
  for (let minutes = 0; minutes * 60 <= span; minutes += step) {
    const anchor = minutes === 0 ? "end" : "middle";
    svg.append(shape("text", { x: x(hourEnd - minutes * 60), y: HEIGHT - 5, "text-anchor": anchor }, minutes ? `−${minutes} min` : "now"));
  }
  lines.forEach(([, member], index) => {
    let run = [];
    const draw = () => {
      if (run.length) svg.append(shape("polyline", { points: run.join(" "), class: `line${index}` }));
      run = [];
    };
    for (const point of points) {
      if (point[member] === null || point.time < hourEnd - 3600) draw();
      else run.push(`${x(point.time).toFixed(1)},${y(point[member]).toFixed(1)}`);
    }
    draw();
  });
  const caption = document.createElement("figcaption");
  const heading = document.createElement("strong");
  heading.textContent = `${title} (${unit})`;
  caption.append(heading);
  lines.forEach(([name], index) => {
    const entry = document.createElement("span");
    entry.className = `key${index}`;
    entry.textContent = said[index] ?? name;
    caption.append(entry);
  });
  figure.append(caption, svg);
  return figure;
}
