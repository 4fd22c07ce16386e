// Crops of photographs: any two versions of one, behind a divider, side by side, or as their difference.

let crops; // of readData: a list of photographs, each with its layers
let current = 0; // which photograph is shown

const SIDEBAR = 370; // pixels beside the images on a wide screen

const layerKey = ({ net, variant }) => `${net} ${variant}`;

function startCrops() {
  crops = readData("crops-data");
  document.getElementById("pictures").append(...crops.map(thumbnail));
  for (const side of ["left", "right"]) document.getElementById(side).addEventListener("change", showCrop);
  document.getElementById("zoom").addEventListener("change", showCrop);
  for (const radio of document.querySelectorAll("[name=view]")) radio.addEventListener("change", showCrop);
  document.getElementById("viewer-form").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("divider").addEventListener("input", moveDivider);
  addEventListener("resize", showCrop);
  const [, , first] = crops[0].layers;
  choosePhotograph(
    0,
    "bicubic",
    first ? layerKey(crops[0].layers.find(({ variant }) => variant === "qat") ?? first) : " hr",
  );
}

function thumbnail(crop, index) {
  const image = element("img", { src: crop.layers[0].src, alt: "" });
  const name = element("span", {}, `${crop.image} `, element("small", {}, `${crop.set} ×${crop.scale}`));
  return element(
    "button",
    { type: "button", className: "picture", onclick: () => choosePhotograph(index) },
    image,
    name,
  );
}

// Show another photograph, with the same versions on both sides if it has them.
function choosePhotograph(
  index,
  left = document.getElementById("left").value,
  right = document.getElementById("right").value,
) {
  current = index;
  for (const [place, button] of [...document.getElementById("pictures").children].entries())
    button.ariaPressed = String(place === index);
  const { layers } = crops[index];
  for (const [side, wanted] of [
    ["left", left],
    ["right", right],
  ]) {
    const select = document.getElementById(side);
    select.replaceChildren(...layers.map((layer) => element("option", { value: layerKey(layer) }, layer.label)));
    const kept = layers.some((layer) => layerKey(layer) === wanted);
    select.value = kept ? wanted : layerKey(side === "left" ? (layers[1] ?? layers[0]) : layers.at(-1));
  }
  showCrop();
}

function showCrop() {
  const crop = crops[current];
  const view = document.querySelector("[name=view]:checked").value;
  const stages = document.getElementById("stages");
  const zoom = Number(document.getElementById("zoom").value) || zoomToFit(crop, view === "beside" ? 2 : 1);
  stages.dataset.view = view;
  stages.style.setProperty("--width", `${crop.width * zoom}px`);
  stages.style.setProperty("--height", `${crop.height * zoom}px`);
  for (const side of ["left", "right"]) {
    const layer = crop.layers.find((one) => layerKey(one) === document.getElementById(side).value);
    const image = document.getElementById(`${side}-image`);
    image.src = layer.src;
    image.alt = `${crop.image}, ${layer.label}`;
    document.getElementById(`${side}-name`).textContent = layer.label;
  }
  document.getElementById("viewer-status").textContent =
    view === "difference" ? "Black: no difference. Each channel is eight times the difference of the two images." : "";
  moveDivider();
}

// The largest factor at which the images fit; a whole one, unless that leaves much of a small screen empty.
function zoomToFit(crop, images) {
  const room = document.querySelector(".viewer").clientWidth - (innerWidth > 1000 ? SIDEBAR : 0);
  const zoom = Math.min(room / images / crop.width, (0.85 * innerHeight) / crop.height);
  return zoom >= 3 ? Math.floor(zoom) : zoom;
}

function moveDivider() {
  const divider = document.getElementById("divider");
  document.getElementById("stages").style.setProperty("--position", `${divider.value}%`);
  const [left, right] = ["left", "right"].map((side) => document.getElementById(`${side}-name`).textContent);
  divider.ariaValueText = `${Math.round(divider.value)} % ${left}, the rest ${right}`;
}

const shows = (crop, file) => crop.scale === file.scale && crop.layers.some((layer) => layer.net === file.net);

function hasCrops(file) {
  return Boolean(crops?.some((crop) => shows(crop, file)));
}

// Open the images of a file: bicubic on the left, the file on the right.
function showCropsOf(file) {
  if (!hasCrops(file)) return;
  const index = shows(crops[current], file) ? current : crops.findIndex((crop) => shows(crop, file));
  const layers = crops[index].layers.filter((layer) => layer.net === file.net);
  const layer =
    layers.find((one) => one.variant === file.variant) ?? layers.find((one) => one.variant !== "fp32") ?? layers[0];
  choosePhotograph(index, " bicubic", layerKey(layer));
  document.getElementById("crops").scrollIntoView();
  document.getElementById("divider").focus({ preventScroll: true });
}
