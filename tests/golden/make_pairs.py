import json,random
r=random.Random(5)
who=["Ann","Ben","Cleo","Dev","Eva","Finn"];what=["tea","a map","two books","the old lamp","a red kite","some bread"]
rows=[]
for i in range(150):
    w,t,n=r.choice(who),r.choice(what),r.randrange(2,60)
    p=f"{w} wants {t} for {n} people. What should {w} do?"
    good=f"Ask for {t}, count {n} people, and pay." if i%3 else f"Order {t} for {n}."
    bad=r.choice(["No idea.","Why ask me? Find it yourself, I am busy today.","Perhaps tomorrow."])
    if i%7==0: good,bad=bad,good
    rows.append({"prompt":p,"chosen":good,"rejected":bad,"score_chosen":4.0-(i%2),"score_rejected":2.0})
open("pairs.jsonl","w").write("".join(json.dumps(x)+"\n" for x in rows))
