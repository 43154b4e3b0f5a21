"use strict";
// Figures are drawn in the page's colours when they first come into view, and again when the colours change.
const dark = matchMedia("(prefers-color-scheme: dark)");
const placeholders = ["#010203", "#040506", "#070809"];
const drawn = new Map();

function themed(text) {
  const style = getComputedStyle(document.documentElement);
  const colours = ["--text", "--lines", "--card"].map((name) => style.getPropertyValue(name).trim());
  return placeholders.reduce((all, from, k) => all.replaceAll(from, colours[k]), text);
}

async function draw(place) {
  const item = document.getElementById(place.dataset.item);
  place.replaceChildren();
  place.style.minHeight = `${place.dataset.height}px`;
  const content = JSON.parse(themed(item.textContent));
  content.target_id = place.id;
  drawn.set(place, await Bokeh.embed.embed_item(content));
  place.dataset.drawn = "yes";
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting && !drawn.has(entry.target)) {
      drawn.set(entry.target, null);
      draw(entry.target);
    }
  }
}, { rootMargin: "300px" });

for (const place of document.querySelectorAll(".figure[data-item]")) {
  place.style.minHeight = `${place.dataset.height}px`;
  seen.observe(place);
}
dark.addEventListener("change", () => [...drawn.keys()].forEach(draw));

for (const tabs of document.querySelectorAll(".tabs")) {
  const buttons = [...tabs.querySelectorAll("button")];
  const choose = (chosen) => buttons.forEach((button) => {
    button.setAttribute("aria-selected", String(button === chosen));
    document.getElementById(button.getAttribute("aria-controls")).hidden = button !== chosen;
  });
  buttons.forEach((button) => button.addEventListener("click", () => choose(button)));
}

// Returns the labels of an axis to show: all, or every second, third, ... so that none touches its neighbour.
function evenly(indices, distance) {
  const all = [...indices];
  const fits = (stride) => {
    for (let k = stride; k < all.length; k += stride) if (distance(all[k - stride], all[k]) < 7) return false;
    return true;
  };
  let stride = 1;
  while (!fits(stride)) stride += 1;
  return all.filter((_, k) => k % stride === 0);
}

// Returns the text of a number on an axis: plain near 1, a power of ten beyond.
function numberText(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-3 && size < 1e5)) return String(Number(value.toPrecision(6))).replace("-", "\u2212");
  const [digits, exponent] = value.toExponential(3).split("e");
  const raise = (sign) => (sign === "-" ? "\u207b" : "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[sign]);
  const power = `10${[...exponent.replace("+", "")].map(raise).join("")}`;
  return Number(digits) === 1 ? power : `${Number(digits)}×${power}`;
}

// Returns the text of the value of a map's pixel at a position along an axis.
function axisText(values, position) {
  const value = values[pixelAt(values, position)];
  return String(Number(value.toPrecision(6)));
}

function pixelAt(values, position) {
  return Math.min(Math.max(Math.round(position), 0), values.length - 1);
}

// Says what a pixel of a map is, and the command that trains its trial again and explains it.
function clickMap(event, source, values, names, sweep) {
  const [column, row] = [event.x, event.y].map((position, k) => pixelAt(values[k], position));
  if (Math.abs(event.x - column) > 0.6 || Math.abs(event.y - row) > 0.6) return;
  const number = source.data.number[0][row * values[0].length + column];
  const place = `${names[0]} ${values[0][column]}, ${names[1]} ${values[1][row]}`;
  if (number < 0) showMessage(`${place}: no trial`);
  else showCommand(`${place}: trial ${number}`, `gradgrid explain ${sweep} --trial ${number}`);
}

// Gives the command that trains the part of a map inside a box.
function dragMap(event, values, names, sweep) {
  if (!event.final || event.geometry.type !== "rect") return;
  const ends = [[event.geometry.x0, event.geometry.x1], [event.geometry.y0, event.geometry.y1]];
  const centres = ends.map(([low, high], k) => valueAt(values[k], (low + high) / 2));
  const by = Math.min(...ends.map(([low, high], k) => (values[k].length - 1) / Math.max(Math.abs(high - low), 1e-6)));
  if (by > 1) {
    const at = centres.map((centre) => Number(centre.toPrecision(12))).join(",");
    showCommand("This part, closer", `gradgrid zoom ${sweep} --at ${at} --by ${Number(by.toPrecision(3))}`);
  }
}

// Returns the value between two pixels, in the logarithm if all values are above 0.
function valueAt(values, position) {
  const low = Math.min(Math.max(Math.floor(position), 0), values.length - 2);
  const share = position - low;
  const [a, b] = [values[low], values[low + 1]];
  return values[0] > 0 ? a * (b / a) ** share : a + share * (b - a);
}

function showCommand(text, command) {
  const code = document.createElement("code");
  code.textContent = command;
  showMessage(text);
  document.getElementById("message").append(": ", code);
}

// Opens a run in MLflow. Inside MLflow's dashboard the page may not open windows; then it shows the address.
function openRun(run) {
  if (!run) {
    showMessage("This trial has no run: the sweep recorded only its row in the table.");
    return;
  }
  const address = document.body.dataset.runs.replace(document.body.dataset.anyRun, run);
  const opened = window.self === window.top ? window.open(address, "_blank") : null;
  if (!opened) showMessage(`Run ${run}`, address);
}

function showMessage(text, address) {
  const message = document.getElementById("message");
  message.replaceChildren(text);
  if (address) {
    const link = document.createElement("a");
    link.href = address;
    link.target = "_blank";
    link.rel = "noopener";
    link.textContent = address;
    message.append(": ", link);
  }
  message.hidden = false;
  clearTimeout(showMessage.timer);
  showMessage.timer = setTimeout(() => { message.hidden = true; }, 12000);
}
