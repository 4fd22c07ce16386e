// The plot of quality against latency, by Vega-Lite. Colours are variables of styles/base.css, so that the plot follows the
// theme of the page, and paper.

const VARIANT_COLOURS = { fp32: "var(--fp32)", ptq: "var(--ptq)", qat: "var(--qat)", other: "var(--quiet)" };
const SHAPES = { tflite: "circle", openvino: "diamond", openvino_fp16: "triangle-down", onnx: "square", other: "cross" };
const INK = "var(--ink)";
const NARROW = 560; // pixels of the window below which the legend is stacked
const LEAST_RANGE = 0.4; // dB from the bottom to the top of the plot

let drawn; // the promise of the view, while its layout fits
let latest; // the datasets that it shows

function showPlot(shown, choice, budget, title) {
  latest = plotData(shown, choice, budget, title);
  describePlot(choice, title);
  drawn ??= drawPlot();
  drawn.then(refresh);
}

function plotData(shown, choice, budget, title) {
  const onFront = new Set(choice.front);
  const state = (file) => (onFront.has(file) ? "front" : file.leftOut || admits(budget, file) ? "behind" : "outside");
  const points = shown.map((file) => ({
    ...file.at, file, name: title(file), variant: file.variant, runtime: file.runtime, state: state(file), hollow: Boolean(file.leftOut),
    note: file.leftOut || `${decimals(file.kib, 0)} KiB, ${decimals(file.memory, 0)} MB peak memory`,
  }));
  const frame = plotFrame(points);
  return {
    points,
    front: choice.front.map(({ at }) => at),
    best: choice.best ? [choice.best.at] : [],
    labels: plotLabels(choice, frame),
    budget: budget.ms === null ? [] : [{ ms: Math.min(Math.max(budget.ms, frame.fastest), frame.slowest), label: `${budget.ms} ms` }],
    frame,
  };
}

// The ends of both axes: some room around the points, and no difference in quality looks larger than it is.
function plotFrame(points) {
  if (!points.length) return { fastest: 1, slowest: 10, worst: 0, best: 1 };
  const [times, qualities] = [points.map(({ ms }) => ms), points.map(({ psnr }) => psnr)];
  const [worst, best] = [Math.min(...qualities), Math.max(...qualities)];
  const room = Math.max(0.1 * (best - worst), (LEAST_RANGE - (best - worst)) / 2);
  return { fastest: 0.8 * Math.min(...times), slowest: 1.25 * Math.max(...times), worst: worst - room, best: best + room };
}

// The name of the best file, and where there is room of each net where it begins on the front, unless names would cover
// each other. Names stand above and left of their points, where the front leaves the plot empty.
function plotLabels({ front: allowed, best }, frame) {
  const place = ({ ms, psnr }) => [Math.log(ms / frame.fastest) / Math.log(frame.slowest / frame.fastest), (psnr - frame.worst) / (frame.best - frame.worst)];
  const labels = [];
  for (const file of [...(best ? [best] : []), ...(innerWidth > NARROW ? allowed : [])]) {
    const [x, y] = place(file.at);
    if (labels.some(({ name, at: [otherX, otherY] }) => name === file.net || (Math.abs(x - otherX) < 0.2 && Math.abs(y - otherY) < 0.07))) continue;
    labels.push({ ...file.at, name: file.net, best: file === best, at: [x, y], side: x < 0.16 ? "left" : "right" });
  }
  return labels;
}

async function refresh(view) {
  const { frame, ...datasets } = latest;
  for (const [name, end] of Object.entries(frame)) view.signal(name, end);
  for (const [name, rows] of Object.entries(datasets)) view.data(name, rows);
  await view.runAsync();
}

async function drawPlot() {
  const place = document.getElementById("plot");
  const { view } = await vegaEmbed(place, plotSpec(innerWidth <= NARROW), {
    actions: false, ast: true, defaultStyle: false, renderer: "svg", // ast: no eval, which the policy of the page forbids
    tooltip: { disableDefaultStyle: true, formatTooltip: tooltip },
  });
  view.addEventListener("click", (event, item) => item?.datum?.file && showCropsOf(item.datum.file));
  return view;
}

function tooltip({ name, latency: time, quality, note }, sanitize) {
  return `<b>${sanitize(name)}</b><br>${[time, quality, note].map(sanitize).join("<br>")}`;
}

function plotSpec(narrow) {
  const { frame, ...datasets } = latest;
  const between = (low, high) => ({ nice: false, domain: [{ expr: low }, { expr: high }] });
  const x = { field: "ms", type: "quantitative", title: "milliseconds for an image", scale: { type: "log", ...between("fastest", "slowest") }, axis: { tickCount: narrow ? 4 : 8, format: "~r", labelOverlap: true } };
  const y = { field: "psnr", type: "quantitative", title: "likeness to the original: PSNR Y (dB)", scale: { zero: false, ...between("worst", "best") }, axis: { tickCount: 6, format: ".2f" } };
  const point = { type: "point", size: narrow ? 60 : 100, cursor: "pointer", strokeWidth: 1.8 };
  const label = (side, align, dx) => ({
    data: { name: "labels" }, transform: [{ filter: `datum.side === "${side}"` }],
    mark: { type: "text", align, baseline: "bottom", dx, dy: -8, color: INK, fontSize: 13, aria: false },
    encoding: { text: { field: "name" }, opacity: { condition: { test: "datum.best", value: 1 }, value: 0.75 } },
  });
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    description: "Quality against latency of every file",
    width: "container", height: narrow ? 320 : 410, background: null,
    autosize: { type: "fit", contains: "padding", resize: true },
    params: Object.entries(frame).map(([name, value]) => ({ name, value })),
    datasets,
    config: plotConfig(),
    encoding: { x, y },
    layer: [
      { data: { name: "budget" }, mark: { type: "rect", color: "var(--beyond)", aria: false }, encoding: { x2: { value: "width" }, y: { value: 0 }, y2: { value: "height" } } },
      { data: { name: "budget" }, mark: { type: "rule", color: INK, strokeDash: [5, 4], aria: false }, encoding: { y: { value: 0 }, y2: { value: "height" } } },
      { data: { name: "budget" }, mark: { type: "text", align: "left", baseline: "bottom", dx: 6, dy: -6, color: INK, fontWeight: 600, aria: false }, encoding: { y: { value: "height" }, text: { field: "label" } } },
      { data: { name: "front" }, mark: { type: "line", interpolate: "step-after", color: INK, strokeWidth: 1.6, opacity: 0.7, aria: false } },
      { data: { name: "best" }, mark: { type: "point", size: 560, color: "var(--accent)", strokeWidth: 3, aria: false } },
      { ...pointsWhere("!datum.hollow", narrow), mark: { ...point, filled: true } },
      { ...pointsWhere("datum.hollow", narrow), mark: { ...point, filled: false } },
      label("left", "left", 4),
      label("right", "right", -9),
    ],
  };
}

function pointsWhere(test, narrow) {
  return {
    data: { name: "points" },
    transform: [
      { filter: test },
      { calculate: "format(datum.ms, '.1f') + ' ms for an image'", as: "latency" },
      { calculate: "format(datum.psnr, '.2f') + ' dB, ' + format(datum.gain, '+.2f') + ' dB over bicubic'", as: "quality" },
    ],
    encoding: {
      color: { field: "variant", type: "nominal", ...scaleAndLegend("variant", VARIANT_COLOURS, narrow, {}) },
      shape: { field: "runtime", type: "nominal", ...scaleAndLegend("runtime", SHAPES, narrow, { symbolFillColor: INK, symbolStrokeColor: INK }) },
      opacity: { condition: [{ test: "datum.state === 'front'", value: 1 }, { test: "datum.state === 'behind'", value: 0.5 }], value: 0.12 },
      tooltip: ["name", "latency", "quality", "note"].map((field) => ({ field, type: "nominal" })),
    },
  };
}

// Colour or shape of each value that is measured, by the names that readers know.
function scaleAndLegend(key, looks, narrow, style) {
  const data = readData("budget-data");
  const names = data[`${key}s`];
  const domain = Object.keys(names).filter((value) => data.files.some((file) => file[key] === value));
  const labelExpr = domain.reduce((rest, value) => `datum.value === "${value}" ? "${names[value]}" : ${rest}`, "datum.value");
  return {
    scale: { domain, range: domain.map((value) => looks[value] ?? looks.other) },
    legend: { title: null, orient: narrow && key === "runtime" ? "bottom" : "top", direction: "horizontal", columns: !narrow ? 0 : key === "runtime" ? 2 : 3, symbolSize: 90, symbolOpacity: 1, labelExpr, ...style },
  };
}

function plotConfig() {
  const text = { labelColor: "var(--quiet)", titleColor: "var(--quiet)", labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
  return {
    font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif",
    view: { stroke: null },
    axis: { ...text, gridColor: "var(--line)", domain: false, ticks: false, labelPadding: 6, titlePadding: 10 },
    legend: { ...text, labelColor: INK, labelLimit: 240, columnPadding: 16, rowPadding: 4, offset: 4, padding: 10 },
  };
}

// Screen readers get the front in words; the points themselves have labels too.
function describePlot({ front: allowed }, title) {
  const words = allowed.map((file) => `${title(file)}: ${decimals(file.at.ms, 1)} ms, ${decimals(file.at.psnr, 2)} dB`);
  document.getElementById("plot").ariaLabel = `Quality against latency. The front, fastest first: ${words.join("; ") || "empty"}.`;
}

// The layout of the legend and the height change where the page becomes narrow.
matchMedia(`(max-width: ${NARROW}px)`).addEventListener("change", async () => {
  if (!drawn) return;
  (await drawn).finalize();
  drawn = drawPlot();
  refresh(await drawn);
});

// Write the plot as an SVG file that stands on its own: the page's variables become the colours that they have now.
function savePlot() {
  const styles = getComputedStyle(document.documentElement);
  const text = new XMLSerializer().serializeToString(document.querySelector("#plot svg"));
  const coloured = text.replace(/var\((--[\w-]+)\)/g, (_, name) => styles.getPropertyValue(name).trim());
  const link = element("a", { href: URL.createObjectURL(new Blob([coloured], { type: "image/svg+xml" })), download: "quality_and_latency.svg" });
  link.click();
  URL.revokeObjectURL(link.href);
}
