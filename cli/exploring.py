"""`kg explore`."""

import click

from cli.options import App, pass_app


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Where; 0: any that is free. Default: 8765, or any that is free where that is taken.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@pass_app
def explore(app: App, port: int | None, no_browser: bool) -> None:
    """Look around in the library in a browser, listen, and decide about genres.

    A page on this machine, for you alone: search, a map of all songs, each song with its player,
    spectrogram, genres, evidence and neighbours, the genres that wait for your word, and a box for
    Cypher that only reads. Nobody else is asked for anything, and no page of anybody else's gets an
    answer. The address holds a token: who has it may decide about your genres as long as this runs.
    Ctrl-C ends it.

    \b
    Example:
      kg explore
      kg explore --port 9000 --no-browser
    """
    from kg.explore.server import serve

    def ready(address: str, once: str) -> None:
        click.echo(address)
        app.remark("Ctrl-C ends it.")
        if not no_browser:
            import threading
            import webbrowser

            # One that runs in the terminal answers only when it is closed, and it waits for us.
            threading.Thread(target=webbrowser.open, args=(once,), daemon=True).start()

    with app.library() as library:
        serve(library, port, ready)
