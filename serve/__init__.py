"""The REST application: runs behind the wire formats that translation clients already speak (needs the `serve` extra).

`app.create_app` builds it, `app.run` listens. Each API dialect is one module (`libretranslate`); what they share is
below them: `protocols` (what is served), `directions` (which run answers), `service` (the work, off the event loop),
`body` (reading requests), `edge` (CORS and the last resort), `listen` (socket, signals). Nothing here imports torch.
"""
