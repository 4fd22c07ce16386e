// The answer to a budget: the file to ship with its figures and its neighbours on the front.

function answer({ front: allowed, best, faster, better }, budget, title) {
  if (!allowed.length) {
    const advice = "Take a limit away, or choose another scale or device.";
    return [element("p", { className: "kicker" }, "No file is within these limits"), element("p", {}, advice)];
  }
  if (!best) {
    const [fastest] = allowed;
    const needs = `${decimals(fastest.at.ms, 1)} ms for ${signed(fastest.at.gain)} dB over bicubic`;
    const advice = "Allow more milliseconds or a smaller image, or search for smaller networks (docs/search.md).";
    return [
      element("p", { className: "kicker" }, `No file takes ${budget.ms} ms or less`),
      element("p", {}, `The fastest is ${title(fastest)}: ${needs}.`),
      element("p", { className: "note" }, advice),
    ];
  }
  const estimated = best.timed[0] !== budget.height || best.timed[1] !== budget.width;
  return [
    element(
      "div",
      { className: "shipped" },
      element("p", { className: "kicker" }, "Ship this file"),
      element("p", { className: "file" }, element("a", { href: encodeURI(best.path) }, title(best))),
      element("p", { className: "actions" }, ...cropsButton(best), element("code", {}, best.path.split("/").at(-1))),
    ),
    element(
      "dl",
      { className: "figures" },
      figure(
        `${decimals(best.at.ms, 1)} ms`,
        estimated ? `an image, estimated from ${best.timed[1]}×${best.timed[0]}` : `an image, ${best.note}`,
      ),
      figure(`${signed(best.at.gain)} dB`, `over bicubic, PSNR ${decimals(best.at.psnr, 2)} dB`),
      figure(`${decimals(best.kib, 0)} KiB`, "size of the file"),
      figure(`${decimals(best.memory, 0)} MB`, "peak memory"),
    ),
    element(
      "ul",
      { className: "neighbours" },
      element("li", {}, ...neighbour("Faster", faster, best, title)),
      element("li", {}, ...neighbour("Better", better, best, title)),
    ),
    element(
      "details",
      {},
      element("summary", {}, "The same on the command line"),
      element("pre", { tabIndex: 0 }, element("code", {}, command(budget))),
    ),
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
  const options = {
    "--scale": budget.scale,
    "--ms": budget.ms,
    "--size": `${budget.height}x${budget.width}`,
    "--max-kib": budget.kib,
    "--min-psnr": budget.psnr,
    "--runtime": budget.runtime,
    "--variant": budget.variant,
    "--set": budget.set,
  };
  const given = Object.entries(options).filter(([, value]) => value !== null && value !== "");
  const device = budget.device === "here" ? [] : [["--device", budget.device]];
  return ["superres pick", ...[...given, ...device].map((pair) => pair.join(" ")), "--copy-to app/"].join(" ");
}
