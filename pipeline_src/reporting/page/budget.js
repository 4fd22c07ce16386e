// The first screen: reads the budget, and shows the file to ship and its place in the plot.

const STEPS = 1000; // of the slider, which is logarithmic

function startBudget() {
  const { files, variants, runtimes } = readData("budget-data");
  const field = (id) => document.getElementById(id);
  const number = (id) => (field(id).value === "" || !field(id).validity.valid ? null : field(id).valueAsNumber);
  const title = (file) => `${file.net} · ${variants[file.variant] ?? file.variant} · ${runtimes[file.runtime] ?? file.runtime}`;

  function readBudget() {
    const [height, width] = field("size").value ? field("size").value.split("x").map(Number) : [number("height"), number("width")];
    return {
      scale: Number(field("scale").value), device: field("device").value, height: height ?? 1, width: width ?? 1,
      ms: number("ms"), kib: number("kib"), psnr: number("min-psnr"),
      variant: field("variant").value, runtime: field("runtime").value, set: field("set").value,
    };
  }

  // The range of the slider: from a little below the fastest file to a little above the slowest.
  function range(shown) {
    const all = shown.map((file) => file.at.ms);
    return [0.8 * Math.min(...all), 1.25 * Math.max(...all)];
  }

  function nameSizes(scale) {
    for (const option of field("size").options) {
      if (!option.value) continue;
      const [height, width] = option.value.split("x").map(Number);
      option.text = `${width}×${height} to ${width * scale}×${height * scale}`;
    }
    field("own-size").hidden = field("size").value !== "";
  }

  function update() {
    const budget = readBudget();
    nameSizes(budget.scale);
    const shown = candidates(files, budget);
    const choice = choose(shown, budget);
    if (shown.length) {
      const [low, high] = range(shown);
      const place = budget.ms ? Math.log(budget.ms / low) / Math.log(high / low) : 1;
      field("ms-slider").value = Math.round(STEPS * Math.min(1, Math.max(0, place)));
      field("ms-slider").ariaValueText = budget.ms ? `${budget.ms} ms` : "no limit";
    }
    field("answer").replaceChildren(...answer(choice, budget, title));
    showPlot(shown, choice, budget, title);
  }

  field("ms-slider").addEventListener("input", (event) => {
    const shown = candidates(files, readBudget());
    if (!shown.length) return;
    const [low, high] = range(shown);
    field("ms").value = Number((low * (high / low) ** (event.target.value / STEPS)).toPrecision(2));
  });
  field("budget-form").addEventListener("input", update);
  field("budget-form").addEventListener("submit", (event) => event.preventDefault());
  field("save-plot").addEventListener("click", savePlot);
  // A browser that goes back to the page may have kept what was typed; otherwise begin where the choice is not trivial.
  if (field("ms").value === "") field("ms").value = firstMilliseconds(candidates(files, readBudget()));
  update();
}

// 30 images a second where that parts the files, else what the middle file of the front takes.
function firstMilliseconds(shown) {
  const all = front(shown.filter((file) => !file.leftOut)).map((file) => file.at.ms);
  if (!all.length) return "";
  const middle = all[Math.floor((all.length - 1) / 2)];
  return all[0] <= 33 && all.at(-1) > 33 ? 33 : Math.ceil(middle * 10) / 10;
}

function answer({ front: allowed, best, faster, better }, budget, title) {
  if (!allowed.length) return [element("p", { className: "kicker" }, "No file is within these limits"), element("p", {}, "Take a limit away, or choose another scale or device.")];
  if (!best) {
    const [fastest] = allowed;
    return [
      element("p", { className: "kicker" }, `No file takes ${budget.ms} ms or less`),
      element("p", {}, `The fastest is ${title(fastest)}: ${decimals(fastest.at.ms, 1)} ms for ${signed(fastest.at.gain)} dB over bicubic.`),
      element("p", { className: "note" }, "Allow more milliseconds or a smaller image, or search for smaller networks (docs/search.md)."),
    ];
  }
  const estimated = best.timed[0] !== budget.height || best.timed[1] !== budget.width;
  return [
    element("div", { className: "shipped" },
      element("p", { className: "kicker" }, "Ship this file"),
      element("p", { className: "file" }, element("a", { href: encodeURI(best.path) }, title(best))),
      element("p", { className: "actions" }, ...cropsButton(best), element("code", {}, best.path.split("/").at(-1)))),
    element("dl", { className: "figures" },
      figure(`${decimals(best.at.ms, 1)} ms`, estimated ? `an image, estimated from ${best.timed[1]}×${best.timed[0]}` : `an image, ${best.note}`),
      figure(`${signed(best.at.gain)} dB`, `over bicubic, PSNR ${decimals(best.at.psnr, 2)} dB`),
      figure(`${decimals(best.kib, 0)} KiB`, "size of the file"),
      figure(`${decimals(best.memory, 0)} MB`, "peak memory")),
    element("ul", { className: "neighbours" },
      element("li", {}, ...neighbour("Faster", faster, best, title)),
      element("li", {}, ...neighbour("Better", better, best, title))),
    element("details", {}, element("summary", {}, "The same on the command line"), element("pre", { tabIndex: 0 }, element("code", {}, command(budget)))),
  ];
}

function figure(value, explained) {
  return element("div", {}, element("dt", {}, explained), element("dd", {}, value));
}

function neighbour(word, file, best, title) {
  const difference = file && `${decimals(file.at.ms, 1)} ms, ${signed(file.at.psnr - best.at.psnr)} dB`;
  return [element("b", {}, word), ` ${file ? `${title(file)}: ${difference}` : "none within the other limits"}`];
}

function cropsButton(file) {
  if (!hasCrops(file)) return [];
  return [element("button", { type: "button", onclick: () => showCropsOf(file) }, "See its images")];
}

function command(budget) {
  const options = { "--scale": budget.scale, "--ms": budget.ms, "--size": `${budget.height}x${budget.width}`, "--max-kib": budget.kib,
    "--min-psnr": budget.psnr, "--runtime": budget.runtime, "--variant": budget.variant, "--set": budget.set };
  const given = Object.entries(options).filter(([, value]) => value !== null && value !== "");
  const device = budget.device === "here" ? [] : [["--device", budget.device]];
  return ["superres pick", ...[...given, ...device].map((pair) => pair.join(" ")), "--copy-to app/"].join(" ");
}
