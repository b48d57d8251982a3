// Dropping files and showing progress: one request per file, one after the other.
// Without this script the same form is sent by the browser itself.
"use strict";

const form = document.getElementById("upload");
const zone = document.getElementById("zone");
const input = document.getElementById("files");
const list = document.getElementById("transfers");
const queue = [];
let sending = false;

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"];

function size(bytes) {
  if (bytes < 1024) {
    return bytes + (bytes === 1 ? " byte" : " bytes");
  }
  let amount = bytes / 1024;
  let unit = 0;
  while (amount >= 1023.95 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return amount.toFixed(1) + " " + UNITS[unit];
}

function duration(seconds) {
  if (seconds < 60) {
    return Math.ceil(seconds) + " s";
  }
  if (seconds < 5400) {
    return Math.round(seconds / 60) + " min";
  }
  return (seconds / 3600).toFixed(1) + " h";
}

function element(name, className, parent) {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

function row(file) {
  const item = element("li", "", list);
  const head = element("div", "head", item);
  element("span", "name", head).textContent = file.name;
  const percent = element("span", "percent", head);
  const bar = element("progress", "", item);
  bar.max = 100;
  bar.value = 0;
  bar.setAttribute("aria-label", file.name);
  const state = element("p", "state", item);
  state.textContent = size(file.size) + ", waiting";
  return {item, percent, bar, state};
}

// The numbers of a problem document in words that a person can act on.
function explain(problem) {
  const numbers = [];
  if (problem.size !== undefined) {
    numbers.push("it has " + size(problem.size));
  }
  if (problem.max_size !== undefined) {
    numbers.push("at most " + size(problem.max_size) + " are allowed");
  }
  if (problem.free !== undefined) {
    numbers.push(size(problem.free) + " are free on the server");
  }
  return numbers.length
    ? problem.title + ": " + numbers.join(", ") + "."
    : problem.title + ". " + (problem.detail || "");
}

function failure(request) {
  if (request.status === 0) {
    return "The connection was lost before the file was complete. Check the network and send it again.";
  }
  try {
    const problem = JSON.parse(request.responseText);
    if (problem.title) {
      return explain(problem);
    }
  } catch (error) {
    // Not a problem document: the status is all there is to say.
  }
  return "The server answered " + request.status + ". Send the file again, or ask the administrator.";
}

function fail(view, text) {
  view.item.className = "failed";
  view.percent.textContent = "";
  view.state.textContent = text;
}

function signIn(view) {
  fail(view, "You are signed out. ");
  const link = element("a", "", view.state);
  link.href = form.dataset.login;
  link.textContent = "Sign in, and send it again.";
}

function send(file, view, done) {
  const request = new XMLHttpRequest();
  const body = new FormData();
  const start = performance.now();
  body.append(input.name, file, file.name);
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.upload.onprogress = (event) => {
    const seconds = (performance.now() - start) / 1000;
    const speed = event.loaded / Math.max(seconds, 0.001);
    const percent = event.total ? (100 * event.loaded) / event.total : 0;
    view.bar.value = percent;
    view.percent.textContent = Math.floor(percent) + " %";
    view.state.textContent = event.loaded < event.total
      ? size(event.loaded) + " of " + size(event.total) + ", " + size(speed) + "/s, "
        + duration((event.total - event.loaded) / speed) + " left"
      : "Sent, waiting for the server";
  };
  request.onloadend = () => {
    if (request.status === 200) {
      view.item.className = "done";
      view.bar.value = 100;
      view.percent.textContent = "100 %";
      const upload = JSON.parse(request.responseText).uploads[0];
      view.state.textContent = "Complete, " + size(upload.size) + ", SHA-256 " + upload.sha256;
    } else if (request.status === 401) {
      signIn(view);
    } else {
      fail(view, failure(request));
    }
    done();
  };
  request.send(body);
}

function next() {
  if (sending || queue.length === 0) {
    return;
  }
  sending = true;
  const {file, view} = queue.shift();
  send(file, view, () => {
    sending = false;
    next();
  });
}

function add(files) {
  const limit = Number(form.dataset.maxSize);
  for (const file of files) {
    const view = row(file);
    if (limit && file.size > limit) {
      // Said before a byte is sent; the server would say the same.
      fail(view, explain({title: "The file is too large", size: file.size, max_size: limit}));
    } else {
      queue.push({file, view});
    }
  }
  next();
}

document.body.classList.add("script");
document.getElementById("call").textContent = "Drop files here, or click to choose";

input.addEventListener("change", () => {
  add(input.files);
  input.value = "";
});

// The whole window takes files, so that a near miss does not make the browser open them.
let depth = 0;
window.addEventListener("dragenter", () => {
  depth += 1;
  zone.classList.add("over");
});
window.addEventListener("dragleave", () => {
  depth -= 1;
  zone.classList.toggle("over", depth > 0);
});
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  zone.classList.remove("over");
  add(event.dataTransfer.files);
});

window.addEventListener("beforeunload", (event) => {
  if (sending) {
    event.preventDefault();
  }
});
