"""FastAPI behind the gateway's chain: who a request is from comes as a dependency, limits are shared by all workers.

EXAMPLE_TABLE=/dev/shm/example uvicorn --app-dir examples --workers 4 fastapi_app:app
curl -H "Authorization: $(fastgw token --key jane-key --secret jane-hs256-secret)" http://127.0.0.1:8000/me
"""

from pathlib import Path

from fastapi import Depends, FastAPI, WebSocket

from fastgw.asgi import Caller, GatewayMiddleware, consumer

app = FastAPI()
app.add_middleware(GatewayMiddleware, config=Path(__file__).parent / "config.json")


@app.get("/")
async def index() -> dict[str, str]:
    return {"hello": "whoever you are"}


@app.get("/me")
async def me(caller: Caller = Depends(consumer)) -> dict[str, str | None]:
    return {"hello": caller.username, "custom_id": caller.custom_id}


@app.websocket("/socket")
async def socket(websocket: WebSocket, caller: Caller = Depends(consumer)) -> None:
    await websocket.accept()
    await websocket.send_text(f"hello {caller.username}")
    await websocket.close()
