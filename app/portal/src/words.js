// Numbers and refusals in words that a person can act on.

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function size(bytes) {
  if (bytes < 1024) {
    return bytes === 1 ? '1 byte' : `${bytes} bytes`
  }
  let amount = bytes / 1024
  let unit = 0
  // Compared as it will be shown, so that nothing reads "1024.0 KiB".
  while (amount >= 1023.95 && unit < UNITS.length - 1) {
    amount /= 1024
    unit += 1
  }
  return `${amount.toFixed(1)} ${UNITS[unit]}`
}

export function duration(seconds) {
  if (seconds < 60) {
    return `${Math.max(1, Math.ceil(seconds))} s`
  }
  if (seconds < 5400) {
    return `${Math.round(seconds / 60)} min`
  }
  if (seconds < 172800) {
    return `${(seconds / 3600).toFixed(1)} h`
  }
  return `${Math.round(seconds / 86400)} days`
}

// Rounded down: 100 % is what is complete.
export function percent(bytes, total) {
  return total ? Math.floor((100 * bytes) / total) : 0
}

// The members of a problem document that are bytes.
const NUMBERS = [
  ['size', (bytes) => `it has ${size(bytes)}`],
  ['max_size', (bytes) => `at most ${size(bytes)} are allowed`],
  ['free', (bytes) => `${size(bytes)} are free on the server`],
  ['quota', (bytes) => `you may store ${size(bytes)}`],
  ['used', (bytes) => `your files have ${size(bytes)}`],
]

const REMEDIES = {
  413: 'Send a smaller file, or ask the administrator to raise the limit.',
  507: 'Delete files that are not needed any more, or ask the administrator for room.',
}

const PLAIN = {
  401: 'You are signed out.',
  403: 'You may not do this. Sign in again, or ask the administrator.',
  423: 'This file is being sent from somewhere else at this moment. Wait until that is over, or stop it there, and try again.',
  429: 'The server is asked too much at this moment. Try again in a minute.',
}

// What to tell of an answer that is a refusal; `text` is its body, a problem document if it is ours.
export function explain(status, text) {
  const plain = PLAIN[status]
  if (plain) {
    return plain
  }
  let problem
  try {
    problem = JSON.parse(text)
  } catch {
    // Somebody else's answer: the status is all there is to say.
  }
  if (!problem?.title) {
    return `The server answered ${status}. Try again, or ask the administrator.`
  }
  const numbers = NUMBERS.filter(([key]) => key in problem).map(([key, word]) => word(problem[key]))
  return numbers.length
    ? [`${problem.title}: ${numbers.join(', ')}.`, REMEDIES[status]].filter(Boolean).join(' ')
    : `${problem.title}. ${problem.detail ?? ''}`.trim()
}

export function tooLarge(bytes, limit) {
  return explain(413, JSON.stringify({ title: 'The file is too large', size: bytes, max_size: limit }))
}
