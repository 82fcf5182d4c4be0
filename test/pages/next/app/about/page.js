export default function About() { return <p data-testid="about">about {process.env.BUILD}</p>; }
