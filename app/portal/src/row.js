// What a person sees of one file: its name, how far it is, and what can be done about it.
import { duration, percent, size } from './words.js'

// Seconds over which the rate is averaged, and without news after which that is said.
const AVERAGE = 3
const QUIET = 4

const ACTIONS = {
  waiting: ['cancel'],
  sending: ['pause', 'cancel'],
  paused: ['resume', 'cancel'],
  failed: ['retry', 'cancel'],
  refused: ['dismiss'],
  unfinished: ['choose', 'cancel'],
  done: ['dismiss'],
}

export class Row {
  #element
  #state = ''
  #rate = 0
  #sent = 0
  #at = 0

  // `template` holds the markup; `act` is called with the name of the button that was pressed.
  constructor(template, list, { name, size: total, act }) {
    this.#element = template.content.firstElementChild.cloneNode(true)
    this.name = name
    this.total = total
    this.#part('name').textContent = name
    this.#bar.setAttribute('aria-label', name)
    for (const button of this.#element.querySelectorAll('button')) {
      button.setAttribute('aria-label', `${button.textContent} ${name}`)
      button.addEventListener('click', () => act(button.dataset.act))
    }
    list.append(this.#element)
  }

  get state() {
    return this.#state
  }

  waiting() {
    this.#become('waiting', `${size(this.total)}, waiting`)
  }

  // Bytes that are there, or on their way.
  sending(sent) {
    const now = performance.now() / 1000
    if (this.#state === 'sending' && sent > this.#sent) {
      const seconds = Math.max(now - this.#at, 0.001)
      const weight = Math.min(1, seconds / AVERAGE)
      const rate = (sent - this.#sent) / seconds
      this.#rate = this.#rate ? this.#rate + weight * (rate - this.#rate) : rate
    }
    if (this.#state !== 'sending' || sent !== this.#sent) {
      this.#at = now
    }
    this.#sent = sent
    this.#become('sending', this.#progress())
    this.#show(sent)
  }

  // Once a second: what does not move is told.
  tick() {
    if (this.#state === 'sending') {
      this.#part('state').textContent = this.#progress()
    }
  }

  // Seconds since the last byte, while some are missing.
  get idle() {
    return this.#state === 'sending' && this.#sent < this.total ? performance.now() / 1000 - this.#at : 0
  }

  paused() {
    this.#rate = 0
    this.#become('paused', `Paused at ${this.#position()}`)
  }

  unfinished(offset) {
    this.#become(
      'unfinished',
      `${size(offset)} of ${size(this.total)} are here. Choose the same file again, and it goes on there.`,
    )
    this.#show(offset)
  }

  // It went wrong, and may go on when asked to.
  failed(text) {
    this.#rate = 0
    this.#become('failed', text)
  }

  // It will not go on.
  refused(text) {
    this.#become('refused', text)
  }

  note(text) {
    this.#part('state').textContent = text
  }

  link(text, href) {
    const link = document.createElement('a')
    link.textContent = text
    link.href = href
    link.target = '_blank'
    this.#part('state').append(' ', link)
  }

  // `sha256` is empty where it could not be asked for: the file's page has it.
  done(sha256, href) {
    this.#become('done', `Complete, ${size(this.total)}${sha256 ? ', SHA-256 ' : ''}`)
    this.#show(this.total)
    if (sha256) {
      const code = document.createElement('code')
      code.textContent = sha256
      this.#part('state').append(code)
    }
    const link = document.createElement('a')
    link.textContent = this.name
    link.href = href
    this.#part('name').replaceChildren(link)
  }

  remove() {
    this.#element.remove()
  }

  #progress() {
    if (this.#sent >= this.total) {
      return 'Sent, waiting for the server'
    }
    if (!navigator.onLine) {
      return `You are offline. It goes on at ${this.#position()} when the network is back.`
    }
    if (this.idle >= QUIET) {
      return `Nothing has moved for ${duration(this.idle)} at ${this.#position()}. It goes on by itself as soon as it can.`
    }
    const left = this.#rate ? `, ${duration((this.total - this.#sent) / this.#rate)} left` : ''
    return `${this.#position()}, ${size(Math.round(this.#rate))}/s${left}`
  }

  #position() {
    return `${size(this.#sent)} of ${size(this.total)}`
  }

  #become(state, text) {
    this.#part('state').textContent = text
    if (state === this.#state) {
      return
    }
    const hadFocus = this.#element.contains(document.activeElement)
    this.#state = state
    this.#element.dataset.state = state
    for (const button of this.#element.querySelectorAll('button')) {
      button.hidden = !ACTIONS[state].includes(button.dataset.act)
    }
    this.#bar.hidden = state === 'refused'
    // The button that was pressed may be gone; the keyboard stays at this file.
    if (hadFocus && document.activeElement?.hidden !== false) {
      this.#element.querySelector('button:not([hidden])')?.focus()
    }
  }

  #show(sent) {
    const value = sent >= this.total ? 100 : percent(sent, this.total)
    this.#bar.value = value
    this.#part('percent').textContent = `${value} %`
  }

  get #bar() {
    return this.#element.querySelector('progress')
  }

  #part(name) {
    return this.#element.querySelector(`.${name}`)
  }
}
