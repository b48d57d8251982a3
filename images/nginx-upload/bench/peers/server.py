"""The tus server of PyPI, as its documentation starts it: server.py PORT DIRECTORY."""

import sys

import uvicorn
from fastapi import FastAPI
from tuspyserver import create_tus_router

port, directory = sys.argv[1:]
app = FastAPI()
app.include_router(create_tus_router(files_dir=directory))
uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
