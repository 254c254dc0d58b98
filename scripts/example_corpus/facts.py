"""What several documents of the example company must agree on."""

from __future__ import annotations

COMPANY = "Tarnholt Ventilation"
ADDRESS = ("Mill Race 12", "Eastbeck EB4 7TN")

TERMINALS = (
    # terminal, colour of the core, what is connected
    ("L", "brown", "Mains, live, 230 V AC"),
    ("N", "blue", "Mains, neutral"),
    ("PE", "green-yellow", "Protective earth"),
    ("1", "red", "Room control, +24 V DC supply"),
    ("2", "black", "Room control, 0 V"),
    ("3", "yellow", "Room control, bus A"),
    ("4", "green", "Room control, bus B"),
    ("5", "white", "Boost push button, first contact"),
    ("6", "white", "Boost push button, second contact"),
    ("7", "violet", "CO2 sensor, signal 0 to 10 V"),
    ("8", "black", "CO2 sensor, 0 V"),
    ("9", "orange", "Stove interlock, first contact"),
    ("10", "orange", "Stove interlock, second contact"),
    ("11", "grey", "Alarm relay, common contact"),
    ("12", "pink", "Alarm relay, closes on a fault"),
)

PARTS = (
    # number, description, fits, price in euro, delivery
    ("LW-1101", "Filter set, ePM1 55 % and ePM10 50 %", "150", "38.50", "in stock"),
    ("LW-1102", "Filter set coarse 65 %, two filters", "150", "24.90", "in stock"),
    ("LW-1103", "Pollen filter ePM1 80 %, supply side", "150", "46.00", "3 days"),
    ("LW-1104", "Activated carbon filter, supply side", "150", "71.20", "2 weeks"),
    ("LW-3101", "Filter set, ePM1 55 % and ePM10 50 %", "300", "57.80", "in stock"),
    ("LW-3102", "Filter set coarse 65 %, two filters", "300", "36.40", "in stock"),
    ("LW-3103", "Pollen filter ePM1 80 %, supply side", "300", "68.50", "3 days"),
    ("LW-1201", "Supply fan with bearing, complete", "150", "214.00", "5 days"),
    ("LW-1202", "Extract fan with bearing, complete", "150", "209.00", "5 days"),
    ("LW-3201", "Supply fan with bearing, complete", "300", "342.00", "8 days"),
    ("LW-3202", "Extract fan with bearing, complete", "300", "336.00", "8 days"),
    ("LW-1210", "Rubber mount for fan, set of four", "150, 300", "11.60", "in stock"),
    ("LW-1301", "Counterflow heat exchanger, aluminium", "150", "389.00", "2 weeks"),
    ("LW-1302", "Enthalpy exchanger, membrane", "150", "548.00", "4 weeks"),
    ("LW-3301", "Counterflow heat exchanger, aluminium", "300", "612.00", "3 weeks"),
    ("LW-3302", "Enthalpy exchanger, membrane", "300", "845.00", "6 weeks"),
    ("LW-1310", "Exchanger seal, self-adhesive, 3 m", "150, 300", "14.30", "in stock"),
    ("LW-1401", "Bypass damper with frame", "150", "96.50", "5 days"),
    ("LW-1402", "Bypass motor", "150, 300", "64.00", "in stock"),
    ("LW-3401", "Bypass damper with frame", "300", "128.00", "8 days"),
    ("LW-1501", "Main circuit board, firmware 3.6", "150", "187.00", "3 days"),
    ("LW-3501", "Main circuit board, firmware 3.6", "300", "231.00", "3 days"),
    ("LW-1502", "Display board for room control", "150, 300", "82.00", "in stock"),
    ("LW-1503", "Glass fuse T 2 A, pack of five", "150", "4.80", "in stock"),
    ("LW-3503", "Glass fuse T 4 A, pack of five", "300", "4.80", "in stock"),
    ("LW-1504", "Terminal block, 12 poles, plug-in", "150, 300", "17.90", "in stock"),
    ("LW-1505", "Wireless module", "150", "119.00", "10 days"),
    ("LW-1601", "Temperature probe, 1.2 m lead", "150, 300", "22.00", "in stock"),
    ("LW-1602", "Humidity sensor, extract air", "150, 300", "58.00", "in stock"),
    ("LW-1603", "CO2 sensor, surface mounting, white", "150, 300", "149.00", "5 days"),
    ("LW-1604", "CO2 sensor, flush mounting, anthracite", "150, 300", "168.00", "2 weeks"),
    ("LW-1605", "Boost push button, white", "150, 300", "19.50", "in stock"),
    ("LW-1606", "Room control, white", "150, 300", "134.00", "in stock"),
    ("LW-1607", "Room control, black", "150, 300", "144.00", "10 days"),
    ("LW-1701", "Condensate trap with ball, 20 mm", "150", "27.40", "in stock"),
    ("LW-3701", "Condensate trap with ball, 32 mm", "300", "33.90", "in stock"),
    ("LW-1702", "Condensate tray, polypropylene", "150", "41.00", "8 days"),
    ("LW-3702", "Condensate tray, polypropylene", "300", "59.00", "8 days"),
    ("LW-1801", "Preheater 500 W with thermostat", "150", "226.00", "2 weeks"),
    ("LW-3801", "Preheater 1200 W with thermostat", "300", "318.00", "2 weeks"),
    ("LW-1901", "Wall bracket with rubber strip", "150", "35.00", "in stock"),
    ("LW-3901", "Floor stand, 300 mm high", "300", "112.00", "10 days"),
    ("LW-1902", "Silencer 125 mm, length 900 mm", "150", "88.00", "5 days"),
    ("LW-3902", "Silencer 160 mm, length 900 mm", "300", "104.00", "5 days"),
    ("LW-1903", "Roof cowl 125 mm, terracotta", "150", "139.00", "3 weeks"),
    ("LW-1904", "Roof cowl 125 mm, black", "150", "139.00", "in stock"),
    ("LW-3903", "Roof cowl 160 mm, black", "300", "162.00", "in stock"),
    ("LW-1910", "Extract valve 125 mm, steel, white", "150, 300", "16.20", "in stock"),
    ("LW-1911", "Supply valve 125 mm, steel, white", "150, 300", "18.70", "in stock"),
    ("LW-1920", "Front door with seal and latch", "150", "98.00", "2 weeks"),
    ("LW-3920", "Front door with seal and latches", "300", "143.00", "3 weeks"),
    ("LW-1921", "Door latch, black", "150, 300", "6.40", "in stock"),
)

ERRORS = (
    # code, meaning, what to do
    (
        "E01",
        "Supply fan does not turn",
        "Switch off for one minute. If the code returns, call service.",
    ),
    (
        "E02",
        "Extract fan does not turn",
        "Switch off for one minute. If the code returns, call service.",
    ),
    ("E03", "Outdoor air probe broken or shorted", "Check the plug, replace probe LW-1601."),
    ("E04", "Exhaust air probe broken or shorted", "Check the plug, replace probe LW-1601."),
    (
        "E05",
        "Bypass does not reach its end position",
        "Remove obstacles, replace the motor LW-1402.",
    ),
    (
        "E06",
        "No connection to the room control",
        "Check terminals 3 and 4; the two wires may be swapped.",
    ),
    ("E07", "Condensate tray full", "Rinse the trap, check the fall of the pipe."),
    ("E08", "Frost protection for over six hours", "Fit a preheater; check the extract filter."),
    (
        "E09",
        "Stove interlock open",
        "Air the room, check the stove, the monitor and the wire link.",
    ),
    (
        "E10",
        "CO2 sensor gives no signal",
        "Check terminals 7 and 8. The unit runs in Normal meanwhile.",
    ),
    ("E11", "Front door open", "Close the door until the latch clicks."),
    (
        "E12",
        "Overheating of the circuit board",
        "Let it cool down for 20 minutes, free the cooling slots.",
    ),
)

FAULTS = (
    # what a resident notices, likely cause, remedy
    (
        "Humming in the bedroom",
        "Silencer missing, unit touches the wall",
        "Fit silencer, check rubber strip",
    ),
    (
        "Whistling at a valve",
        "Valve closed too far",
        "Open the valve, have the air balanced again",
    ),
    ("Musty smell", "Filter wet or overdue", "Replace the filters, check the outdoor grille"),
    ("Windows wet inside", "Air volume too low", "Use Normal instead of Low, check the filters"),
    (
        "Air too dry in winter",
        "Air volume too high",
        "Use Low or Auto; consider the enthalpy exchanger",
    ),
    ("Gurgling from the drain", "Trap dry or dirty", "Rinse and fill the trap"),
)
