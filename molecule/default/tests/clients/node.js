// tus-js-client in node: a job on standard input, its outcome on standard output.
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { text } from 'node:stream/consumers'
import { Upload } from 'tus-js-client'
import { options } from './job.js'

const job = JSON.parse(await text(process.stdin))

async function begin(length) {
  const file = await open(job.file)
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, 0)
  await file.close()
  return buffer
}

const outcome = await new Promise((resolve) => {
  const upload = new Upload(createReadStream(job.file), {
    ...options(job, begin),
    metadata: { filename: basename(job.file) },
    onSuccess: () => resolve({ url: upload.url, status: 0, reason: '' }),
    onError: (error) =>
      resolve({
        url: upload.url ?? '',
        status: error.originalResponse?.getStatus() ?? -1,
        reason: error.message,
      }),
  })
  upload.start()
})
// A connection that a refused body was meant for stays open for a while; nobody waits for it.
process.stdout.write(JSON.stringify(outcome), () => process.exit())
