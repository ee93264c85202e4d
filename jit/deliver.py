def deliver(st):
    return 0
