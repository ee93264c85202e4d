"""A stand-in for the screen: what commands say, and what they start, at once."""
from emu import Stop
from tools.debug.session import Session


class Front:
    """Jobs run where they are started; `said` and `errors` are what was told."""

    def __init__(self, machine):
        self.session = Session(machine)
        self.said, self.errors, self.panels, self.themes = [], [], [], []
        self.ended = self.helped = False

    def say(self, text, error=False):
        (self.errors if error else self.said).append(text)

    def start(self, what, job, stage=0):
        result = job(self.session.machine)
        if isinstance(result, Stop):
            self.session.stopped(stage, result)
        else:
            self.say(result)

    def action_panel(self, name):
        self.panels.append(name)

    def reload(self):
        pass

    def changed(self):
        self.session.changed_by_hand()

    def action_help(self):
        self.helped = True

    def set_theme(self, name):
        self.themes.append(name)

    def picture(self, path):
        return path

    def end(self):
        self.ended = True
