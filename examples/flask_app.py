"""Flask behind the gateway's chain, under any server of WSGI.

EXAMPLE_TABLE=/dev/shm/example gunicorn --chdir examples -w 4 flask_app:app
curl -H "Authorization: $(fastgw token --key jane-key --secret jane-hs256-secret)" http://127.0.0.1:8000/me
"""

from pathlib import Path

from flask import Flask, request

from fastgw.wsgi import Caller, GatewayMiddleware

app = Flask(__name__)
app.wsgi_app = GatewayMiddleware(app.wsgi_app, config=Path(__file__).parent / "config.json")  # type: ignore[method-assign]


@app.get("/")
def index() -> dict[str, str]:
    return {"hello": "whoever you are"}


@app.get("/me")
def me() -> dict[str, str | None]:
    caller: Caller = request.environ["fastgw.consumer"]
    return {"hello": caller.username, "custom_id": caller.custom_id}
