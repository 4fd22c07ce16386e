// The budget on the first screen: what the reader sets, and what follows from it.

const STEPS = 1000; // of the slider, which is logarithmic

function startBudget() {
  const { files, variants, runtimes } = readData("budget-data");
  const field = (id) => document.getElementById(id);
  const number = (id) => (field(id).value === "" ? null : field(id).valueAsNumber);
  const title = (file) =>
    `${file.net} · ${variants[file.variant] ?? file.variant} · ${runtimes[file.runtime] ?? file.runtime}`;

  function readBudget() {
    const [height, width] = field("size").value
      ? field("size").value.split("x").map(Number)
      : [number("height"), number("width")];
    return {
      scale: Number(field("scale").value),
      device: field("device").value,
      height,
      width,
      ms: number("ms"),
      kib: number("kib"),
      psnr: number("min-psnr"),
      variant: field("variant").value,
      runtime: field("runtime").value,
      set: field("set").value,
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
    if (field("budget-form").querySelector("input:invalid")) {
      field("answer").replaceChildren(
        element("p", { className: "kicker" }, "One of the limits is not a number above 0"),
      );
      return;
    }
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

// 30 images a second where that parts the files, else a round number that the middle file of the front keeps to.
function firstMilliseconds(shown) {
  const all = front(shown.filter((file) => !file.leftOut)).map((file) => file.at.ms);
  if (!all.length) return "";
  const middle = all[Math.floor((all.length - 1) / 2)];
  const unit = 10 ** Math.floor(Math.log10(middle));
  return all[0] <= 33 && all.at(-1) > 33 ? 33 : Number((Math.ceil(middle / unit) * unit).toPrecision(2));
}
