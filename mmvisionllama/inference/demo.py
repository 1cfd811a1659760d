"""The demo: a page in the browser, with a tab for each trained model, served by gradio."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import uvicorn
from fastapi import FastAPI
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmvisionllama.errors import InputError, UserError
from mmvisionllama.inference.attention_rollout import attention_rollout, no_rollout
from mmvisionllama.inference.input_images import InputImage
from mmvisionllama.inference.predictions import (
    Classification,
    Detection,
    Reconstruction,
    Segmentation,
)
from mmvisionllama.inference.trained_model import TrainedModel
from mmvisionllama.reports.sample_pictures import draw_grid

HOST, PORT = "127.0.0.1", 7860
_LARGEST = "50mb"  # of an uploaded file
_SHOWN = 10  # classes in a list of scores
_DPI = 200
_CSS = """
.problem {border-left: 4px solid #cf222e; padding: 8px 12px; background: #cf222e18; border-radius: 4px}
.problem .problem {border: 0; padding: 0; background: none}
"""
Outcome = dict[Any, Any]


class DemoServer:
    """A server of the page; it holds the port as soon as it is made.

    Args:
        host, port: Where it listens; port 0: any that is free.

    Attributes:
        url: Of the page.
    Raises: InputError: if it cannot listen there.
    """

    def __init__(self, host: str = HOST, port: int = PORT) -> None:
        self._socket = _listening(host, port)
        port = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        self._server: uvicorn.Server | None = None

    def run(self, models: Sequence[TrainedModel], ready: Callable[[], None] = lambda: None) -> None:
        """Serve a tab for each model until a signal or ``stop``; uploaded images are removed at the end.

        Args:
            ready: Called when the page can be opened.
        """
        with _own_folder(), self._socket:
            page = build_page(models).queue(api_open=False, default_concurrency_limit=1)
            app = gr.mount_gradio_app(
                FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
                page,
                path="/",
                footer_links=[],
                show_error=False,
                max_file_size=_LARGEST,
                ssr_mode=False,
                enable_monitoring=False,
                pwa=False,
                mcp_server=False,
                run_history=False,
                css=_CSS,
            )
            self._server = uvicorn.Server(
                uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
            )
            ready()
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let ``run`` return."""
        if self._server is not None:
            self._server.should_exit = True


def build_page(models: Sequence[TrainedModel]) -> gr.Blocks:
    """Build the page; nothing of it is sent anywhere but to who opens it."""
    with gr.Blocks(title="mmvisionllama", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        for model, name in zip(models, _tab_names(models), strict=True):
            with gr.Tab(name):
                gr.Markdown(f"`{model.source}`")
                (_generator_tab if model.task == "generation" else _image_tab)(model)
    return page


def _image_tab(model: TrainedModel) -> None:
    problem = gr.Markdown(visible=False, elem_classes="problem")
    lacking = no_rollout(model)
    with gr.Row():
        with gr.Column(scale=1):
            upload = gr.Image(label="Image", image_mode=None, type="filepath", sources=["upload"], height=320)
            least = gr.Slider(0, 1, 0.3, label="Least score", visible=model.task == "detection")
            rolled = gr.Checkbox(not lacking, label="Attention rollout", interactive=not lacking)
            if lacking:
                gr.Markdown(f"There is no attention rollout of this model: {lacking}.")
            rollout = _picture("Attention rollout", height=320, visible=False)
        with gr.Column(scale=2):
            picture = _picture("Prediction", height=520)
            numbers = _NUMBERS[model.task][0]()
    shown = [problem, picture, numbers, rollout]

    def predict(uploaded: dict[str, Any] | None, least_score: float, with_rollout: bool) -> Outcome:
        if uploaded is None:
            return _cleared(shown)
        try:
            image = _uploaded(uploaded)
            prediction = model.predict(image)
            over = attention_rollout(model, image) if with_rollout else None
        except UserError as error:
            return _cleared(shown) | {problem: gr.Markdown(str(error), visible=True)}
        found = isinstance(prediction, Detection)
        drawn = None if over is None else _pixels(over.plot())
        return {
            problem: gr.Markdown(visible=False),
            picture: _pixels(prediction.plot(least_score) if found else prediction.plot()),
            numbers: _NUMBERS[model.task][1](prediction.above(least_score) if found else prediction),
            rollout: gr.Image(drawn, visible=drawn is not None),
        }

    gr.on(
        [upload.upload, upload.clear, least.release, rolled.change],
        predict,
        inputs=[upload, least, rolled],
        outputs=shown,
        preprocess=False,  # the model's own loader reads the file
        **_ONE_AT_A_TIME,
    )


def _generator_tab(model: TrainedModel) -> None:
    problem = gr.Markdown(visible=False, elem_classes="problem")
    count = model.module.network.num_classes
    names = [model.classes[i].split(",")[0] if i < len(model.classes) else str(i) for i in range(count)]
    with gr.Row():
        with gr.Column(scale=1):
            label = gr.Dropdown([(name, i) for i, name in enumerate(names)], value=0, label="Class")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1)
            number = gr.Slider(1, 20, 5, step=1, label="Images")
            button = gr.Button("Generate", variant="primary")
        with gr.Column(scale=2):
            picture = _picture("Samples", height=520)
    shown = [problem, picture]

    def generate(label: int, seed: int | None, number: int) -> Outcome:
        try:
            samples = model.sample([label], int(number), seed=seed)
        except UserError as error:
            return _cleared(shown) | {problem: gr.Markdown(str(error), visible=True)}
        figure = draw_grid([{"image": x.generated, "title": x.name_of(x.label)} for x in samples])
        return {problem: gr.Markdown(visible=False), picture: _pixels(figure)}

    button.click(generate, inputs=[label, seed, number], outputs=shown, **_ONE_AT_A_TIME)


_ONE_AT_A_TIME = dict(concurrency_id="models", concurrency_limit=1, api_visibility="private")


def _picture(label: str, **options: Any) -> gr.Image:
    return gr.Image(
        label=label, interactive=False, format="png", buttons=["download", "fullscreen"], **options
    )


def _cleared(shown: Sequence[gr.components.Component]) -> Outcome:
    return {part: gr.Markdown(visible=False) if isinstance(part, gr.Markdown) else None for part in shown}


def _uploaded(file: dict[str, Any]) -> InputImage:
    """Read what the browser sent; gradio has made sure that it lies in its folder."""
    if not file.get("path"):
        raise InputError("the browser sent no file; give an image")
    name = file.get("orig_name") or "image"
    try:
        return InputImage(name, Path(file["path"]).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{name} was given a day ago and is forgotten; give it again") from error


def _scores(prediction: Classification) -> dict[str, float]:
    return dict(prediction.top(_SHOWN))


def _shares(prediction: Segmentation) -> dict[str, float]:
    return dict(list(prediction.shares.items())[:_SHOWN])


def _objects(prediction: Detection) -> list[list[str]]:
    return [
        [x["name"], f"{x['score']:.2f}", ", ".join(f"{side:.0f}" for side in x["box"])]
        for x in prediction.to_dict()["objects"]
    ]


def _loss(prediction: Reconstruction) -> str:
    return f"{prediction.loss:.4f}"


# The part of a page that shows the numbers of a task, and what it is given.
_NUMBERS: dict[str, tuple[Callable[[], gr.components.Component], Callable[[Any], Any]]] = {
    "classification": (lambda: gr.Label(label="Scores", show_heading=False), _scores),
    "segmentation": (lambda: gr.Label(label="Share of the pixels", show_heading=False), _shares),
    "detection": (
        lambda: gr.Dataframe(
            headers=["Object", "Score", "Box (x1, y1, x2, y2)"], label="Objects", interactive=False
        ),
        _objects,
    ),
    "reconstruction": (lambda: gr.Textbox(label="Loss of the hidden patches", interactive=False), _loss),
}


def _pixels(figure: Figure) -> NDArray:
    figure.set_dpi(_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _tab_names(models: Sequence[TrainedModel]) -> list[str]:
    """Name the tabs by task, and number those of one task."""
    tasks = [model.task for model in models]
    return [
        f"{task.capitalize()}{f' {tasks[: i + 1].count(task)}' if tasks.count(task) > 1 else ''}"
        for i, task in enumerate(tasks)
    ]


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
        raise InputError(
            f"{host}:{port} cannot be listened at: {reason}; give a --host of this machine and a --port that "
            "is free"
        ) from error


@contextmanager
def _own_folder() -> Iterator[None]:
    """Let gradio keep uploaded and drawn images in a folder that is removed, and not in the system's."""
    name = "GRADIO_TEMP_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory(prefix="mmvisionllama-demo-") as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            os.environ.pop(name) if before is None else os.environ.update({name: before})
