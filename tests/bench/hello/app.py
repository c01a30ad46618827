"""Hello world."""


def handler(event, context):
    return "hello"
