// How the plot looks, as a specification of Vega-Lite. Colours are variables of base.css, so that the plot follows the
// theme of the page, and paper.

const VARIANT_COLOURS = { fp32: "var(--fp32)", ptq: "var(--ptq)", qat: "var(--qat)", other: "var(--quiet)" };
const SHAPES = {
  tflite: "circle",
  openvino: "diamond",
  openvino_fp16: "triangle-down",
  onnx: "square",
  other: "cross",
};
const INK = "var(--ink)";

// The plot of `frame`, the ends of its axes, and of `datasets`; `narrow`, for a small screen.
function plotSpec({ frame, ...datasets }, narrow) {
  const between = (low, high) => ({ nice: false, domain: [{ expr: low }, { expr: high }] });
  const x = {
    field: "ms",
    type: "quantitative",
    title: "milliseconds for an image",
    scale: { type: "log", ...between("fastest", "slowest") },
    axis: { tickCount: narrow ? 4 : 8, format: "~r", labelOverlap: true },
  };
  const y = {
    field: "psnr",
    type: "quantitative",
    title: "likeness to the original: PSNR Y (dB)",
    scale: { zero: false, ...between("worst", "best") },
    axis: { tickCount: 6, format: ".2f" },
  };
  const label = (side, align, dx) => ({
    data: { name: "labels" },
    transform: [{ filter: `datum.side === "${side}"` }],
    mark: { type: "text", align, baseline: "bottom", dx, dy: -8, color: INK, fontSize: 13, aria: false },
    encoding: { text: { field: "name" }, opacity: { condition: { test: "datum.best", value: 1 }, value: 0.75 } },
  });
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    description: "Quality against latency of every file",
    width: "container",
    height: narrow ? 320 : 410,
    background: null,
    autosize: { type: "fit", contains: "padding", resize: true },
    params: Object.entries(frame).map(([name, value]) => ({ name, value })),
    datasets,
    config: plotConfig(),
    encoding: { x, y },
    layer: [
      {
        data: { name: "budget" },
        mark: { type: "rect", color: "var(--beyond)", aria: false },
        encoding: { x2: { value: "width" }, y: { value: 0 }, y2: { value: "height" } },
      },
      {
        data: { name: "budget" },
        mark: { type: "rule", color: INK, strokeDash: [5, 4], aria: false },
        encoding: { y: { value: 0 }, y2: { value: "height" } },
      },
      {
        data: { name: "budget" },
        mark: {
          type: "text",
          align: "left",
          baseline: "bottom",
          dx: 6,
          dy: -6,
          color: INK,
          fontWeight: 600,
          aria: false,
        },
        encoding: { y: { value: "height" }, text: { field: "label" } },
      },
      {
        data: { name: "bicubic" },
        mark: { type: "rule", color: "var(--quiet)", strokeDash: [2, 3], aria: false },
        encoding: { x: { value: 0 }, x2: { value: "width" } },
      },
      {
        data: { name: "bicubic" },
        mark: { type: "text", align: "right", baseline: "bottom", dx: -4, dy: -4, color: "var(--quiet)", aria: false },
        encoding: { x: { value: "width" }, text: { field: "label" } },
      },
      {
        data: { name: "front" },
        mark: { type: "line", interpolate: "step-after", color: INK, strokeWidth: 1.6, opacity: 0.7, aria: false },
      },
      {
        data: { name: "best" },
        mark: { type: "point", size: 560, color: "var(--accent)", strokeWidth: 3, aria: false },
      },
      pointsLayer(narrow),
      label("left", "left", 4),
      label("right", "right", -9),
    ],
  };
}

function pointsLayer(narrow) {
  return {
    data: { name: "points" },
    mark: { type: "point", filled: true, size: narrow ? 60 : 100, cursor: "pointer", strokeWidth: 1.8 },
    encoding: {
      color: { field: "variant", type: "nominal", ...scaleAndLegend("variant", VARIANT_COLOURS, narrow, {}) },
      shape: {
        field: "runtime",
        type: "nominal",
        ...scaleAndLegend("runtime", SHAPES, narrow, { symbolFillColor: INK, symbolStrokeColor: INK }),
      },
      stroke: { field: "colour", type: "nominal", scale: null },
      fillOpacity: { condition: { test: "datum.hollow", value: 0 }, value: 1 },
      opacity: {
        condition: [
          { test: "datum.state === 'front'", value: 1 },
          { test: "datum.state === 'behind'", value: 0.5 },
        ],
        value: 0.12,
      },
      tooltip: ["name", "latency", "quality", "note"].map((field) => ({ field, type: "nominal" })),
    },
  };
}

// Colour or shape of each value that is measured, by the names that readers know.
function scaleAndLegend(key, looks, narrow, style) {
  const data = readData("budget-data");
  const names = data[`${key}s`];
  const domain = Object.keys(names).filter((value) => data.files.some((file) => file[key] === value));
  const labelExpr = domain.reduce(
    (rest, value) => `datum.value === "${value}" ? "${names[value]}" : ${rest}`,
    "datum.value",
  );
  return {
    scale: { domain, range: domain.map((value) => looks[value] ?? looks.other) },
    legend: {
      title: null,
      orient: narrow && key === "runtime" ? "bottom" : "top",
      direction: "horizontal",
      columns: !narrow ? 0 : key === "runtime" ? 2 : 3,
      symbolSize: 90,
      symbolOpacity: 1,
      labelExpr,
      ...style,
    },
  };
}

function plotConfig() {
  const text = {
    labelColor: "var(--quiet)",
    titleColor: "var(--quiet)",
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
  };
  return {
    font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif",
    view: { stroke: null },
    axis: { ...text, gridColor: "var(--line)", domain: false, ticks: false, labelPadding: 6, titlePadding: 10 },
    legend: { ...text, labelColor: INK, labelLimit: 240, columnPadding: 16, rowPadding: 4, offset: 4, padding: 10 },
  };
}
