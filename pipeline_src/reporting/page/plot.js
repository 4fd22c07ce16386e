// The plot of quality against latency: its data, its tooltips, clicks into it, and its copy as a file.

const NARROW = 560; // pixels of the window below which the legend is stacked and most names are left out
const LEAST_RANGE = 0.4; // dB from the bottom to the top of the plot

let drawn; // the promise of the view, while its layout fits
let latest; // the datasets that it shows

function showPlot(shown, choice, budget, title) {
  latest = plotData(shown, choice, budget, title);
  describePlot(choice, title);
  if (drawn) drawn.then(refresh);
  else drawn = drawPlot();
}

function plotData(shown, choice, budget, title) {
  const onFront = new Set(choice.front);
  const within = (file) => admits(budget, { ...file, leftOut: "" });
  const state = (file) => (onFront.has(file) ? "front" : within(file) ? "behind" : "outside");
  const points = shown.map((file) => ({
    ...file.at,
    file,
    name: title(file),
    variant: file.variant,
    runtime: file.runtime,
    state: state(file),
    hollow: Boolean(file.leftOut),
    colour: VARIANT_COLOURS[file.variant] ?? VARIANT_COLOURS.other,
    latency: `${decimals(file.at.ms, 1)} ms for an image`,
    quality: `${decimals(file.at.psnr, 2)} dB, ${signed(file.at.gain)} dB over bicubic`,
    note: file.leftOut || `${decimals(file.kib, 0)} KiB, ${decimals(file.memory, 0)} MB peak memory`,
  }));
  const frame = plotFrame(points);
  const bicubic = points.length && points[0].psnr - points[0].gain; // the same for all of them
  return {
    points,
    bicubic: bicubic > frame.worst ? [{ psnr: bicubic, label: `bicubic ${decimals(bicubic, 2)} dB` }] : [],
    front: choice.front.map(({ at }) => at),
    best: choice.best ? [choice.best.at] : [],
    labels: plotLabels(choice, frame),
    budget: budget.ms === null ? [] : [{ ms: clamped(budget.ms, frame), label: `${budget.ms} ms` }],
    frame,
  };
}

const clamped = (ms, { fastest, slowest }) => Math.min(Math.max(ms, fastest), slowest);

// The ends of both axes: some room around the points, and no difference in quality looks larger than it is.
function plotFrame(points) {
  if (!points.length) return { fastest: 1, slowest: 10, worst: 0, best: 1 };
  const [times, qualities] = [points.map(({ ms }) => ms), points.map(({ psnr }) => psnr)];
  const [worst, best] = [Math.min(...qualities), Math.max(...qualities)];
  const room = Math.max(0.1 * (best - worst), (LEAST_RANGE - (best - worst)) / 2);
  return {
    fastest: 0.8 * Math.min(...times),
    slowest: 1.25 * Math.max(...times),
    worst: worst - room,
    best: best + room,
  };
}

// The name of the best file, and where there is room of each net where it begins on the front, unless names would cover
// each other. Names stand above and left of their points, where the front leaves the plot empty.
function plotLabels({ front: allowed, best }, frame) {
  const place = ({ ms, psnr }) => [
    Math.log(ms / frame.fastest) / Math.log(frame.slowest / frame.fastest),
    (psnr - frame.worst) / (frame.best - frame.worst),
  ];
  const labels = [];
  for (const file of [...(best ? [best] : []), ...(innerWidth > NARROW ? allowed : [])]) {
    const [x, y] = place(file.at);
    const covers = (other) => Math.abs(x - other.at[0]) < 0.2 && Math.abs(y - other.at[1]) < 0.07;
    if (labels.some((other) => other.name === file.net || covers(other))) continue;
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
  const { view } = await vegaEmbed(place, plotSpec(latest, innerWidth <= NARROW), {
    actions: false,
    ast: true, // without it Vega evaluates text, which the policy of the page forbids
    defaultStyle: false,
    renderer: "svg",
    tooltip: { disableDefaultStyle: true, formatTooltip: tooltip },
  });
  view.addEventListener("click", (event, item) => item?.datum?.file && showCropsOf(item.datum.file));
  return view;
}

function tooltip({ name, latency: time, quality, note }, sanitize) {
  return `<b>${sanitize(name)}</b><br>${[time, quality, note].map(sanitize).join("<br>")}`;
}

// Screen readers get the front in words; the points themselves have labels too.
function describePlot({ front: allowed }, title) {
  const words = allowed.map((file) => `${title(file)}: ${decimals(file.at.ms, 1)} ms, ${decimals(file.at.psnr, 2)} dB`);
  document.getElementById("plot").ariaLabel =
    `Quality against latency. The front, fastest first: ${words.join("; ") || "empty"}.`;
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
  const link = element("a", {
    href: URL.createObjectURL(new Blob([coloured], { type: "image/svg+xml" })),
    download: "quality_and_latency.svg",
  });
  link.click();
  URL.revokeObjectURL(link.href);
}
