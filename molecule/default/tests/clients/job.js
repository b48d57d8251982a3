// What a test asks of tus-js-client, in its own words: alone in node, and below Uppy in a browser.

export function options(job, begin) {
  let begun = !job.behind
  return {
    endpoint: job.endpoint,
    uploadUrl: job.url,
    headers: { Authorization: `Bearer ${job.token}` },
    retryDelays: Array(job.retries).fill(0),
    parallelUploads: job.parts,
    storeFingerprintForResuming: false,
    async onBeforeRequest(request) {
      if (request.getMethod() !== 'PATCH') return
      if (job.checksum) request.setHeader('Upload-Checksum', job.checksum)
      if (begun) return
      begun = true
      // Somebody else's bytes, which this client does not know of.
      await fetch(request.getURL(), {
        method: 'PATCH',
        headers: {
          Authorization: `Bearer ${job.token}`,
          'Content-Type': 'application/offset+octet-stream',
          'Tus-Resumable': '1.0.0',
          'Upload-Offset': '0',
        },
        body: await begin(job.behind),
      })
    },
  }
}
