// Uppy in a page: window.run(job) sends the file of the page's input and returns the outcome.
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'
import { options } from './job.js'

window.run = (job) =>
  new Promise((resolve) => {
    const [data] = document.querySelector('input').files
    const begin = (length) => data.slice(0, length)
    const uppy = new Uppy().use(Tus, options(job, begin))
    uppy.on('upload-success', (_, response) =>
      resolve({ url: response.uploadURL, status: 0, reason: '' }),
    )
    uppy.on('upload-error', (file, error, response) =>
      resolve({
        url: uppy.getFile(file.id)?.tus?.uploadUrl ?? '',
        status: response?.status ?? -1,
        reason: error.message,
      }),
    )
    uppy.addFile({ name: data.name, type: data.type, data })
    uppy.upload()
  })
