#!/usr/bin/python3
"""What calls cost by exact fractions: a model of the pricing that shares nothing with it.

usage: price_model.py SEED CASES DIRECTORY

Writes DIRECTORY/prices.conf with random prices, then one case a line:

    MODEL CHANNEL TIME_US SERVICE COUNT... COST SUM

SERVICE is "-" for none, COST in whole micro-credits, SUM in credits before the rounding.
"""

import math
import random
import sys
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

IN = ["input", "cache-read", "cache-write", "cache-write-1h", "audio-input", "image-input"]
OUT = ["output", "reasoning", "audio-output", "image-output"]
UNITS = ["per-image", "per-second", "per-million-characters", "per-request", "per-search"]
CLASSES = IN + OUT + UNITS
KIND = {
    "cache-read": "input", "cache-write": "input", "cache-write-1h": "cache-write",
    "audio-input": "input", "image-input": "input",
    "reasoning": "output", "audio-output": "output", "image-output": "output",
}
ZONES = ["UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe",
         "America/St_Johns", "Africa/Casablanca", "Asia/Kathmandu"]
MILLION = 1000000


def decimal(rng, top, places):
    kind = rng.randrange(6)
    if kind == 0:
        return "0"
    if kind == 1:
        return str(rng.randrange(top))
    whole = rng.randrange(min(top, rng.choice([2, 10, 100])))
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, places)))
    return f"{whole}.{digits}"


def prices(rng, chance, classes=None):
    stated = {}
    for name in classes or CLASSES:
        if rng.random() < chance:
            each = name in ("per-image", "per-second", "per-request", "per-search")
            stated[name] = decimal(rng, 3 if each else 1000, 12 if each else 6)
    return stated


PLAIN = ["0.5", "2", "1.3", "0.25", "0.75", "0.1", "1"]
PRECISE = ["0.000001", "0.123456", "0.999999", "1.000001", "3.141593"]


class Model:
    def __init__(self, rng, name):
        self.name = name
        self.currency = rng.choice(["USD", "CNY"])
        # Twelve decimals of a price and of its factors are more than fit, and refused.
        self.precise = rng.random() < 0.3
        self.classes = IN + OUT if self.precise else CLASSES
        self.own = prices(rng, rng.choice([0.1, 0.5, 1]), self.classes)
        for name_of in ("input", "output"):
            self.own.setdefault(name_of, decimal(rng, 100, 6))
        self.tiers, start = [], 0
        for _ in range(rng.randrange(4)):
            start += rng.randint(2, rng.choice([5, 300000]))
            tier = prices(rng, 0.4, self.classes)
            tier.setdefault("input", decimal(rng, 100, 6))
            self.tiers.append((start, rng.random() < 0.5, tier))
        self.services = {}
        for name_of in rng.sample(["flex", "priority", "batch"], rng.randrange(4)):
            self.services[name_of] = self.change(rng, PRECISE if self.precise else PLAIN)
        # Quarters of the day, so that no two discounts of a model can meet; all in one zone.
        self.zone, self.discounts = rng.choice(ZONES), []
        for quarter in rng.sample(range(4), rng.randrange(3)):
            first = quarter * 360 + rng.randrange(180)
            self.discounts.append((first, first + rng.randint(1, 180), *self.change(rng, PLAIN)))
        if rng.random() < 0.3:  # over midnight, or all but a minute of the day
            first = rng.randrange(2, 1440)
            self.discounts = [(first, rng.randrange(first), *self.change(rng, PLAIN))]

    def change(self, rng, factors):
        stated = prices(rng, rng.choice([0, 0.3]), self.classes)
        by = rng.choice(factors)
        if by == "1" and not stated:
            by = "0.5"
        return by, stated

    def text(self):
        def lines(stated):
            return "".join(f"  {name} = {value}" for name, value in stated.items())

        out = f'model "{self.name}" {{ currency = {self.currency} {lines(self.own)}\n'
        for i, (start, inclusive, stated) in enumerate(self.tiers):
            above = start if inclusive else start - 1
            out += (f'  tier "t{i}" {{ above = {above} inclusive = {str(inclusive).lower()}'
                    f'{lines(stated)} }}\n')
        for name, (by, stated) in self.services.items():
            out += f'  service "{name}" {{ factor = {by}{lines(stated)} }}\n'
        for i, (first, last, by, stated) in enumerate(self.discounts):
            last %= 1440
            out += (f'  discount "d{i}" {{ from = "{first // 60:02}:{first % 60:02}"'
                    f' to = "{last // 60:02}:{last % 60:02}" zone = "{self.zone}"'
                    f' factor = {by}{lines(stated)} }}\n')
        return out + "}\n"

    def discount_at(self, time_us):
        when = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=time_us)
        local = when.astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        for first, last, by, stated in self.discounts:
            if first < last and first <= minute < last:
                return by, stated
            if first > last and (minute >= first or minute < last):
                return by, stated
        return None

    def rate(self, name, tier, service, discount):
        """Currency for one of what the class counts."""
        layers = [(Fraction(1), self.own), (Fraction(1), tier or {})]
        for change in (service, discount):
            if change is not None:
                layers.append((Fraction(change[0]), change[1]))
        while not any(name in stated for _, stated in layers):
            if name not in KIND:
                return Fraction(0)
            name = KIND[name]
        price = None
        for by, stated in layers:
            if name in stated:
                price = Fraction(stated[name])
            elif price is not None and name not in UNITS:
                price *= by
        if name in UNITS and name != "per-million-characters":
            return price
        return price / MILLION

    def cost(self, counts, multiplier, service, time_us):
        context = sum(counts[name] for name in IN)
        tier = None
        for start, _, stated in self.tiers:
            if context >= start:
                tier = stated
        change = self.services.get(service)
        discount = self.discount_at(time_us)
        return sum((counts[name] * self.rate(name, tier, change, discount) for name in CLASSES),
                   Fraction(0)) * Fraction(multiplier)


def exact(value):
    """As a decimal: all that occur here have one."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str((value * 10**places).numerator).rjust(places + 1, "0")
    return digits[:-places] + "." + digits[-places:] if places else digits


def counts_of(rng, model):
    counts = dict.fromkeys(CLASSES, 0)
    for name in rng.sample(CLASSES, rng.randint(0, 6)):
        counts[name] = rng.choice([1, rng.randrange(10), rng.randrange(300000), 10**9])
    if model.tiers and rng.random() < 0.5:  # at the very edge of a tier
        start = rng.choice(model.tiers)[0] - rng.randrange(2)
        for name in IN:
            counts[name] = 0
        counts["cache-read"] = rng.randrange(start + 1)
        counts[rng.choice(["input", "audio-input", "cache-write"])] = start - counts["cache-read"]
    return counts


def time_of(rng, model):
    year = rng.randint(2024, 2030)
    base = datetime(year, rng.randint(1, 12), rng.randint(1, 28), tzinfo=timezone.utc)
    seconds = rng.randrange(86400)
    if model.discounts and rng.random() < 0.5:  # about a beginning or end, with and without DST
        first, last = rng.choice(model.discounts)[:2]
        seconds = rng.choice([first, last]) * 60 - rng.randrange(2) - rng.choice(
            [0, 8, -4, -5, 1, 2]) * 3600
    return int((base + timedelta(seconds=seconds)).timestamp()) * MILLION + rng.randrange(MILLION)


def main():
    seed, cases, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng = random.Random(seed)
    models = [Model(rng, f"m{i}") for i in range(40)]
    channels = {f"c{i}": {"USD": decimal(rng, 10, 6), "CNY": decimal(rng, 10, 6)}
                for i in range(6)}
    with open(f"{directory}/prices.conf", "w", encoding="utf-8") as out:
        out.write('upstream "u" { protocol = openai url = "https://u.example" }\n')
        out.write("".join(model.text() for model in models))
        for name, by in channels.items():
            for currency in by:  # nothing is free by its channel
                if Fraction(by[currency]) == 0:
                    by[currency] = "1.000001"
            out.write(f'channel "{name}" {{ use = u  multiplier = {by["USD"]}'
                      f'  multiplier-cny = {by["CNY"]} }}\n')
    for _ in range(cases):
        model, channel = rng.choice(models), rng.choice(list(channels))
        service = rng.choice(["-", *model.services])
        counts, time_us = counts_of(rng, model), time_of(rng, model)
        cost = model.cost(counts, channels[channel][model.currency], service, time_us)
        print(model.name, channel, time_us, service, *counts.values(),
              math.ceil(cost * MILLION), exact(cost))


main()
