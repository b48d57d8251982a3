// The files that are being sent: Uppy and tus move them, each has a row.
import Uppy from '@uppy/core'
import DropTarget from '@uppy/drop-target'
import GoldenRetriever from '@uppy/golden-retriever'
import StatusBar from '@uppy/status-bar'
import Tus from '@uppy/tus'
import { Finished } from './finished.js'
import { Row } from './row.js'
import { Unfinished, discard } from './unfinished.js'
import { explain, tooLarge } from './words.js'

// Files at a time; each gets the whole line when the others are paused.
const AT_ONCE = 2
// Milliseconds: quickly at first, then for a day.
const RETRY_DELAYS = [0, 1000, 3000, 10_000, ...Array(2880).fill(30_000)]
// How often a file that somebody else is sending is asked for.
const LOCKED_RETRIES = 4
// Seconds without a byte after which a connection is taken for dead.
const STALLED = 60
const WEEK = 7 * 24 * 3600 * 1000

const LOST = 'The connection was lost. What is there stays there: try again, and it goes on.'

export class Transfers {
  #uppy
  #rows = new Map()
  #leftovers = new Map()
  #unfinished = new Unfinished()
  #finished
  #places
  #page
  // Chosen before it was known what was left unfinished; undefined when that is known.
  #early = []

  // `page`: its elements (list, template, status, drop, say) and the site's settings; see portal.js.
  constructor(page) {
    this.#page = page
    this.#places = page.places
    this.#finished = new Finished(page.user)
    this.#uppy = new Uppy({
      // What one person left in this browser is not the next one's.
      id: `portal-${page.user}`,
      restrictions: page.maxSize ? { maxFileSize: page.maxSize } : {},
      onBeforeFileAdded: (file) => this.#prepare(file),
    })
      .use(Tus, {
        endpoint: this.#places.files,
        limit: AT_ONCE,
        retryDelays: RETRY_DELAYS,
        removeFingerprintOnSuccess: true,
        onShouldRetry: retries,
      })
      .use(GoldenRetriever, { expires: WEEK })
      .use(DropTarget, { target: page.drop })
      .use(StatusBar, {
        target: page.status,
        hideUploadButton: true,
        hideRetryButton: true,
      })
    this.#listen()
    this.#recall()
    setInterval(() => this.#tick(), 1000)
  }

  // Take files of an input element.
  add(files) {
    this.#uppy.addFiles(
      [...files].map((file) => ({
        name: file.name,
        type: file.type,
        data: file,
        meta: { relativePath: file.webkitRelativePath },
      })),
    )
  }

  get isSending() {
    return [...this.#rows.values()].some((row) => row.state === 'sending' || row.state === 'waiting')
  }

  // Show what was begun and not finished, in this browser or elsewhere.
  async #recall() {
    try {
      await this.#unfinished.load(this.#places.uploads)
    } catch (error) {
      this.#page.say(`What was left unfinished cannot be shown: ${error.message}.`)
    }
    this.#showUnfinished()
    const early = this.#early
    this.#early = undefined
    this.#uppy.addFiles(early)
  }

  #listen() {
    const uppy = this.#uppy
    uppy.on('files-added', (files) => {
      for (const file of files) {
        this.#finished.take(file.id)
        this.#row(file).waiting()
      }
      this.#upload()
    })
    uppy.on('restored', () => this.#restore())
    uppy.on('restriction-failed', (file, error) => this.#refuse(file, error))
    uppy.on('upload-progress', (file, { bytesUploaded }) => {
      if (!file.isPaused) {
        this.#rows.get(file.id)?.sending(bytesUploaded)
      }
      this.#page.progressed(uppy.getState().totalProgress)
    })
    uppy.on('upload-pause', (file, isPaused) => this.#paused(file, isPaused))
    uppy.on('pause-all', () => this.#eachOpen((file) => this.#paused(file, true)))
    uppy.on('resume-all', () => this.#eachOpen((file) => this.#paused(file, false)))
    uppy.on('upload-retry', (file) => this.#rows.get(file.id)?.waiting())
    uppy.on('upload-success', (file, response) => this.#succeeded(file, response.uploadURL))
    uppy.on('upload-error', (file, error, response) => this.#failed(file, response))
    uppy.on('file-removed', (file) => {
      this.#rows.get(file.id)?.remove()
      this.#rows.delete(file.id)
      this.#changed()
    })
    uppy.on('complete', () => this.#changed())
  }

  // What is known of a file before it is sent: where it was left off, and what names it again.
  #prepare(file) {
    if (this.#early) {
      this.#early.push({ name: file.name, type: file.type, data: file.data, meta: file.meta })
      return false
    }
    const { lastModified } = file.data
    const { relativePath, ...meta } = file.meta
    const found = this.#unfinished.take({ name: file.name, size: file.size, lastModified })
    this.#leftovers.get(found)?.remove()
    this.#leftovers.delete(found)
    // What is named and not there would be sent as the word "undefined".
    const allowedMetaFields = ['name', 'type', 'lastModified', ...(relativePath ? ['relativePath'] : [])]
    return {
      ...file,
      meta: { ...meta, lastModified, ...(relativePath ? { relativePath } : {}) },
      tus: { allowedMetaFields, ...(found?.url ? { uploadUrl: found.url } : {}) },
    }
  }

  #upload() {
    // What goes wrong is told by each file's own event.
    this.#uppy.upload().catch(() => {})
    this.#changed()
  }

  #row(file) {
    let row = this.#rows.get(file.id)
    if (!row) {
      row = new Row(this.#page.template, this.#page.list, {
        name: file.meta.relativePath || file.name,
        size: file.size,
        act: (action) => this.#act(file.id, row, action),
      })
      this.#rows.set(file.id, row)
    }
    return row
  }

  #act(id, row, action) {
    const file = this.#uppy.getFile(id)
    if (action === 'dismiss') {
      row.remove()
      // Another row may stand for the same file by now.
      if (this.#rows.get(id) === row) {
        this.#rows.delete(id)
        this.#uppy.removeFile(id)
      }
      this.#changed()
    } else if (action === 'cancel') {
      // Of what failed Uppy has forgotten that there is something to end.
      if (file.error && file.tus?.uploadUrl) {
        discard(file.tus.uploadUrl).catch((error) => this.#uppy.log(error, 'warning'))
      }
      this.#uppy.removeFile(id)
      this.#page.say(`${file.name} is cancelled`)
    } else if (action === 'retry') {
      this.#uppy.retryUpload(id).catch(() => {})
    } else {
      this.#uppy.pauseResume(id)
    }
  }

  // After the page was closed: a file that the browser kept goes on, others are asked for.
  #restore() {
    const uppy = this.#uppy
    uppy.setState({ currentUploads: {}, recoveredState: null })
    for (const file of uppy.getFiles()) {
      if (this.#finished.take(file.id)) {
        uppy.removeFile(file.id)
        continue
      }
      if (!file.isGhost && !file.progress.uploadComplete) {
        uppy.setFileState(file.id, {
          error: null,
          isPaused: false,
          isRestored: false,
          progress: { ...file.progress, uploadStarted: null },
        })
        this.#row(file).waiting()
        continue
      }
      if (file.isGhost && !file.tus?.uploadUrl) {
        const { lastModified } = file.meta
        this.#unfinished.add({ name: file.name, size: file.size, lastModified, offset: 0 })
      }
      uppy.removeFile(file.id)
    }
    this.#showUnfinished()
    if (uppy.getFiles().length) {
      this.#upload()
    }
  }

  #showUnfinished() {
    for (const entry of this.#unfinished) {
      if (!this.#leftovers.has(entry)) {
        const row = new Row(this.#page.template, this.#page.list, {
          name: entry.name,
          size: entry.size,
          act: (action) => (action === 'choose' ? this.#page.choose() : this.#forget(entry)),
        })
        row.unfinished(entry.offset)
        this.#leftovers.set(entry, row)
      }
    }
    this.#changed()
  }

  async #forget(entry) {
    try {
      if (entry.url) {
        await discard(entry.url)
      }
    } catch (error) {
      this.#leftovers.get(entry).note(`It could not be cancelled: ${error.message}. Try again.`)
      return
    }
    this.#unfinished.take(entry)
    this.#leftovers.get(entry).remove()
    this.#leftovers.delete(entry)
    this.#page.say(`${entry.name} is cancelled`)
    this.#changed()
  }

  #refuse(file, error) {
    if (this.#early) {
      return
    }
    // The same file twice is no mistake: it is being sent.
    if (!file || this.#rows.has(file.id)) {
      this.#page.say(error.message)
      return
    }
    const row = this.#row(file)
    row.refused(file.size > this.#page.maxSize ? tooLarge(file.size, this.#page.maxSize) : error.message)
    this.#page.say(`${file.name} was refused`)
    this.#changed()
  }

  #paused(file, isPaused) {
    const row = this.#rows.get(file.id)
    if (isPaused) {
      row?.paused()
    } else {
      row?.waiting()
    }
  }

  #eachOpen(act) {
    for (const file of this.#uppy.getFiles()) {
      if (file.progress.uploadStarted && !file.progress.uploadComplete) {
        act(file)
      }
    }
  }

  async #succeeded(file, url) {
    this.#finished.add(file.id)
    const row = this.#rows.get(file.id)
    const place = this.#places.uploads + url.slice(url.lastIndexOf('/') + 1)
    let sha256 = ''
    try {
      const response = await fetch(place, { headers: { Accept: 'application/json' } })
      sha256 = (await response.json()).sha256 ?? ''
    } catch {
      // The file is there all the same.
    }
    row?.done(sha256, place)
    this.#page.say(`${file.name} is complete`)
    this.#changed()
  }

  #failed(file, response) {
    const row = this.#rows.get(file.id)
    const status = response?.status ?? 0
    row?.failed(status ? explain(status, response.body.xhr.responseText) : LOST)
    if (status === 401) {
      row?.link('Sign in in another tab, then retry.', this.#places.login)
    }
    this.#page.say(`${file.name} failed`)
    this.#changed()
  }

  #tick() {
    for (const [id, row] of this.#rows) {
      row.tick()
      if (row.idle > STALLED && navigator.onLine) {
        // Twice: it goes on over a connection of its own.
        this.#uppy.pauseResume(id)
        this.#uppy.pauseResume(id)
      }
    }
  }

  #changed() {
    // A file that is complete may be sent once more.
    const files = this.#uppy.getFiles()
    if (files.length && files.every((file) => file.progress.uploadComplete)) {
      const rows = new Map(files.map((file) => [file.id, this.#rows.get(file.id)]))
      if ([...rows.values()].every((row) => !row || row.state === 'done')) {
        for (const { id } of files) {
          this.#rows.delete(id)
          this.#uppy.removeFile(id)
        }
      }
    }
    this.#page.changed(this.isSending, this.#rows.size + this.#leftovers.size)
  }
}

function retries(error, attempt, _options, next) {
  const status = error.originalResponse?.getStatus()
  // No room does not get better by asking, and whoever else sends this file may go on for hours.
  if (status === 507 || (status === 423 && attempt >= LOCKED_RETRIES)) {
    return false
  }
  return next(error)
}
