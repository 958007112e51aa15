from headwater import Flow, Parameter, task


@task
def greet(name):
    return f"Hello, {name}!"


@task
def count(greeting):
    return sum(letter.isalpha() for letter in greeting)


@task
def say(greeting, letters):
    print(f"{greeting} That is {letters} letters.")
    return greeting


with Flow("hello") as flow:
    name = Parameter("name", default="world")
    greeting = greet(name)
    letters = count(greeting)
    said = say(greeting, letters)


if __name__ == "__main__":
    flow.run()
