// Uploads that were begun and not finished: the server knows them, whichever device they came from.

// A file is taken for the same one when these three agree, as tus clients do it.
function isSame(entry, file) {
  return entry.name === file.name && entry.size === file.size && entry.lastModified === file.lastModified
}

export class Unfinished {
  #entries = []

  // Ask the server; `address` lists one's own uploads. Throws when it does not answer.
  async load(address) {
    for (let next = `${address}?state=receiving`; next; ) {
      const response = await fetch(next, { headers: { Accept: 'application/json' } })
      if (!response.ok) {
        throw new Error(`the list of unfinished uploads is answered ${response.status}`)
      }
      const page = await response.json()
      for (const upload of page.uploads) {
        // What another kind of client sends is its own to go on with.
        if (upload.protocol === 'tus' && upload.metadata?.lastModified) {
          this.add({
            name: upload.name,
            size: upload.length,
            lastModified: Number(upload.metadata.lastModified),
            offset: upload.offset,
            url: upload.url,
          })
        }
      }
      next = page.next
    }
  }

  // An entry without `url` was chosen and never begun.
  add(entry) {
    const known = this.#entries.find((other) => isSame(other, entry))
    if (!known) {
      this.#entries.push(entry)
    } else if (!known.url) {
      Object.assign(known, entry)
    }
  }

  // The entry of a file, which is none any more.
  take(file) {
    const index = this.#entries.findIndex((entry) => isSame(entry, file))
    return index < 0 ? undefined : this.#entries.splice(index, 1)[0]
  }

  [Symbol.iterator]() {
    return this.#entries.values()
  }
}

// End an upload on the server. One that is not there any more is ended, too.
export async function discard(url) {
  const response = await fetch(url, { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0' } })
  if (!response.ok && response.status !== 404 && response.status !== 410) {
    throw new Error(`the server answered ${response.status}`)
  }
}
