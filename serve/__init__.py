"""The REST application: runs behind the wire formats that translation clients already speak (needs the `serve` extra).

`app.create_app` builds it, `app.run` listens. Each API dialect is one module (`libretranslate` with `libre_files`,
`deepl`, `openai` with `stream`); what they share is below them: `protocols` (what is served), `directions` and
`speakers` (which run answers), `asking` (from texts to answers: `detection`, and for HTML `markup` with `tokens`,
`inline` and `units`), `lines` (texts in lines), `service` with `batcher` (the work, off the event loop) and `gate`
(`keys`, `limits`), `body` (reading requests). Around them stand `traffic` (`metrics`, `log`), `edge` (headers and the
last resort) and `listen` (socket, signals). Nothing here imports torch.
"""
